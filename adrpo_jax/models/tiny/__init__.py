"""Tiny random models in the layouts of released models."""
