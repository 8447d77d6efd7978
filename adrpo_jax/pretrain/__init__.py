"""Makes the bases of the embedded worlds."""
