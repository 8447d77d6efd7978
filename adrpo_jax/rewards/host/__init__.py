"""Rewards in any Python, called on threads of the host."""
