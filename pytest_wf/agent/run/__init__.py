"""One attempt of one row: its process, log, numbers, and why it ended."""
