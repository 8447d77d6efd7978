"""Files and buckets, signals, child processes and compiler flags."""
