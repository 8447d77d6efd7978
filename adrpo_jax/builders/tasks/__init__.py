"""What is asked for: prompts, and what judges the samples."""
