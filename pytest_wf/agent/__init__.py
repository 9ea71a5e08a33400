"""The agent: what runs on the pod.

Standard library only, Python 3.8 and later; imports `wire` and itself, nothing else. It
travels as one zipapp named by its hash and is driven with JSON over one channel.
"""
