"""What a run keeps of its samples: images and texts, and their files."""
