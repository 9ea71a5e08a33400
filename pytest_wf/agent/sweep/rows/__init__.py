"""The rows of a campaign: attempts, retries, and what is known of each."""
