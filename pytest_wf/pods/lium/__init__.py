"""Pods rented from Lium."""
