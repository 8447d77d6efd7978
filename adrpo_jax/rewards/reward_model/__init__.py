"""Reward models by folder, on the mesh."""
