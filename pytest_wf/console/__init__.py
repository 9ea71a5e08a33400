"""Terminal output of a running operation: live view, tables, progress."""
