"""Rewards on CLIP's embeddings, on the device."""
