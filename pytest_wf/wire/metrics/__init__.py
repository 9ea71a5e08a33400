"""What both sides know of metrics: which source of a metric counts."""
