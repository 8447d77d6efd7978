"""Stable Diffusion 3: its transformer, autoencoder, T5, folder, export."""
