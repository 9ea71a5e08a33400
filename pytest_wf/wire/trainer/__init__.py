"""The command of a row: the arguments and variables that the harness gives to the trainer."""
