"""The rows of a campaign: attempts, retries, and their status."""
