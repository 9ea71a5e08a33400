"""Tracked tasks: a user's own commands, run on the pod under an id."""
