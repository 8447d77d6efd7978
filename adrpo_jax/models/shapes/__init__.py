"""The small text-to-image base model of the embedded world."""
