"""Rewards: (prompts, images or answers) -> Scores, on device or any Python."""
