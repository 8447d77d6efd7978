"""Functions that draw on matplotlib axes."""
