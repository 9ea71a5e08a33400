"""Metrics in the lines that a trainer prints.

lines.py     the reader: which lines are looked at, and what is remembered of them
text.py      lines without terminal escapes, and their shapes
grammar.py   what a line is made of; form.py reads the numbers of all lines of one form
names.py     which names are metrics, and which of them only a measurement has
tables.py    lines of values below a line of names, and frames
steps.py     the step of each report
pattern.py   METRICS_LOG_PATTERN
"""
