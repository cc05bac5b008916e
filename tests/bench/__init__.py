"""Measurements behind `make bench`: ratios within one run, written to docs/performance.md."""
