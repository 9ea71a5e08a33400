"""Sources of a run's metrics, read while it trains. To add one: its reader, a line in sources.py.

values.py      the last value of each metric, and the step
reader.py      what a reader is
jsonl.py  log_lines.py    one reader each
log_grammar.py  log_names.py    what a line of a log says; which names are metrics
log_steps.py    the step of each line's report
sources.py     all readers, in the order in which they are preferred
"""
