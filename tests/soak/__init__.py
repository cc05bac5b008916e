"""Pulls without a pause behind `make soak`; the figures go to docs/performance.md."""
