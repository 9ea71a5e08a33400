"""One attempt of one row: its process, log, metrics, and why it ended."""
