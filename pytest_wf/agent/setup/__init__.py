"""What a pod needs before rows run: probe, bootstrap, checkout, environment, data."""
