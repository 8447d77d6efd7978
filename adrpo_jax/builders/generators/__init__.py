"""What generates: bases as functions, and their weights on the mesh."""
