"""Ends well and leaves nothing.

state: success
notes: wrote-nothing
"""
