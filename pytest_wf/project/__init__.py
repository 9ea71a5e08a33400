"""What the user wrote: config and CSV of a project, baseline, expectations."""
