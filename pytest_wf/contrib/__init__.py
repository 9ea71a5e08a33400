"""Plugins that come with the package and use its hooks as any other plugin does."""
