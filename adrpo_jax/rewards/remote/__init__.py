"""Rewards on another machine: the client, and the format of the wire."""
