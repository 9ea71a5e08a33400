"""For this project's flows and for those of whoever copies it: nothing is needed here.

Fixtures for your own phases go here. pytest-wf itself comes in as an installed plugin.
"""
