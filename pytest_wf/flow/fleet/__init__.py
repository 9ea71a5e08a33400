"""A flow on several pods: its members, their threads, and their shared parts."""
