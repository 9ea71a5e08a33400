"""The `wf` command: one module per group of commands."""
