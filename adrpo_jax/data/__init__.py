"""Prompt sources, and the order in which a run goes through them."""
