"""Metrics in the lines that a trainer prints.

lines.py         the reader: which lines are examined, and what is remembered of them
text.py          lines without terminal escapes, and their shapes
grammar.py       the parts of a line; form.py reads the numbers of all lines of one form
splits.py        names that a line has for several parts of the data
metric_names.py  which names are metrics, and which of them only measurements have
tables.py        lines of values below a line of names, and frames
steps.py         the step of each report
pattern.py       METRICS_LOG_PATTERN
"""
