"""Fails as the first part of a pipeline whose last part succeeds.

state: failed
exit: 3
"""

raise SystemExit(3)
