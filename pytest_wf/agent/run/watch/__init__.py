"""What is seen of a trainer while it runs: its signs of life, its rate, its stacks, who lingers."""
