"""Differences between flows: configs, rows, code."""
