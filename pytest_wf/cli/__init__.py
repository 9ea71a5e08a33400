"""The `wf` command: its entry point, and what its commands share."""
