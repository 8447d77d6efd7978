"""Pre-trains the base models of the embedded worlds."""
