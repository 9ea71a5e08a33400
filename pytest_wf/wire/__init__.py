"""What the controller and the pod must agree on.

Standard library only, Python 3.8 and later: these modules are sent to the pod inside the agent's
zipapp, so that each rule is written only once.
"""
