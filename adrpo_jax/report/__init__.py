"""The page of a run: from a workdir to report.html."""
