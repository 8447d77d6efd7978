"""Random models in the layouts of released ones."""
