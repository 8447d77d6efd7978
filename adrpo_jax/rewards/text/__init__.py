"""Judges of answers, pure functions of texts."""
