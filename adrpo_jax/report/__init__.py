"""The report of a run: reads a workdir and writes report.html."""
