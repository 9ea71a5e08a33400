"""The command of a row: the arguments and variables that pytest-wf gives to the trainer."""
