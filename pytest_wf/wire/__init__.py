"""What the controller and the pod must agree on.

Standard library only, Python 3.8 and later: these modules travel to the pod inside
the agent's zipapp, so that no rule is written twice, once for each side.
"""
