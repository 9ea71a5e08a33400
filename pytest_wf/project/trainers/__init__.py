"""Detects a repository's trainer and the command that runs it: the proposal of `wf init`."""
