"""The machine of a run: disks and buckets, signals, child processes, flags."""
