"""What differs between flows: their configs, their rows, their code."""
