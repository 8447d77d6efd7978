"""Compiles the programs of a run for TPUs, on a machine without a TPU."""
