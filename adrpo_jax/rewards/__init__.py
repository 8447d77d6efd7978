"""Rewards: (prompts, images) -> Scores, on the device or in any Python."""
