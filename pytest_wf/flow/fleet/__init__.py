"""A flow on several pods: its members, their threads, and what is theirs together."""
