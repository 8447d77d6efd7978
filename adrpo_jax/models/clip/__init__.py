"""CLIP's towers, which conditions and rewards share."""
