"""Observation of a running trainer: its activity, its rate, its stacks, its remaining processes."""
