"""CLIP's text and vision towers, used by conditions and rewards."""
