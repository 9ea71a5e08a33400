"""The config file: its keys, their types, and the strict reader."""
