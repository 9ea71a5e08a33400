"""The agent: what runs on the pod.

Standard library only, Python 3.8 and later; imports `wire` and itself, nothing else. It is sent as
one zipapp, named by its hash, and driven with JSON over one channel.
"""
