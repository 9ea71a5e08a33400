"""Servers, pods and helpers that tests of several rooms share."""

from pathlib import Path

#: The repository.
ROOT = Path(__file__).parents[2]
