"""Rows as tasks of Slurm's job arrays: the second implementation of `agent/run/executor.py`."""
