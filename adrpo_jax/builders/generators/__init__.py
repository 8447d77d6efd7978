"""Generators: bases as functions, with their weights on the mesh."""
