"""What comes with the package and uses its hooks as any plugin does."""
