"""Renting pods: what every provider with an account has in common; `Account` is its interface."""
