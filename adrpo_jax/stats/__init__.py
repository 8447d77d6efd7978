"""Statistics of recorded numbers: no JAX, no matplotlib."""
