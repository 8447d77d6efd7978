"""A run's programs compiled for TPUs, on a machine without any."""
