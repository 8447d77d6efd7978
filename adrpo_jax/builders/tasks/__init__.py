"""Tasks: prompts, and the rewards and judges of samples."""
