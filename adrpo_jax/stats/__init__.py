"""Statistics of recorded numbers, without JAX and matplotlib."""
