"""Remote training runs as pytest items: each phase with a contract, a court and evidence."""

__all__ = ["__version__"]

__version__ = "0.1.0"
