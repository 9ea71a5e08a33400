"""What a repository trains with, and the command that trains it: the proposal of `wf init`."""
