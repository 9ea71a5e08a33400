"""The `wf` command: one module a group of commands."""
