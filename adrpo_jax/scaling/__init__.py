"""One config on slices of many sizes: bounds compiled, and seconds measured."""
