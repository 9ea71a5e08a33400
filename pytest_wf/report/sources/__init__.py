"""Sources of metrics in fetched files: `event_files` of TensorBoard.

They add metrics that no source on the pod has. A new source is a module, and its call in
`report.build`.
"""
