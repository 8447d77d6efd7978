"""Rewards of a folder of images of any origin."""
