"""Sources of a run's metrics, read while it trains. To add one: its reader, a line in sources.py.

values.py      the last value of each metric, and the step
reader.py      what a reader is, and what the readers of a run share
jsonl.py  trainer_state.py  csv_tables.py  json_results.py    readers of files, one each
trainer_bar.py    the step from a progress bar
step_names.py     names under which a report in a file gives its step
out_files.py  growing_file.py    files below out_dir, found and read in bounded time
log/           the reader of log lines, and their grammar
merge.py       the metrics of several sources, of which one counts for each metric
record.py      the run directory's metrics.jsonl, to which all sources are written
sources.py     all readers; their order is in wire/metrics/sources.py
"""
