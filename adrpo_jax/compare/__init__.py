"""Runs methods with several seeds and compares the results."""
