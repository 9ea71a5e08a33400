"""What a flow costs: its ceiling, what it has spent, and estimates of the rest."""
