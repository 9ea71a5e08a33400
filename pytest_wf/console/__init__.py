"""What a terminal shows while an operation runs."""
