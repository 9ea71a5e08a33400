"""Sources of metrics that are read here, of what was fetched: `event_files` of TensorBoard.

They fill in what no source on the pod has. To add one: a module, and its call in `report.build`.
"""
