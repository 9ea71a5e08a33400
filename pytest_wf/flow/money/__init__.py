"""Costs of a flow: its ceiling, its spending so far, and estimates of the rest."""
