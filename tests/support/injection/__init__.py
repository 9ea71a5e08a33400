"""Faults in whole flows: what injects them, and what judges their outcome from outside."""
