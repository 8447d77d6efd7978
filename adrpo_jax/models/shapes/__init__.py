"""The small text-to-image base of the embedded world."""
