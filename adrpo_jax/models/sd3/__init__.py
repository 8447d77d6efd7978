"""Stable Diffusion 3: transformer, autoencoder, text encoders, files."""
