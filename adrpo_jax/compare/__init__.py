"""Methods times seeds: runs them, and compares what came out."""
