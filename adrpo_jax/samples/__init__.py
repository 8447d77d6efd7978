"""The samples that a run keeps: images and texts, and their files."""
