"""Campaigns of rows: launch, supervisor, status, resume."""
