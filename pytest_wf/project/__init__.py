"""A user's project: config, CSV, baseline and expectations."""
