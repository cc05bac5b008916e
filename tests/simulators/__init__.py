"""Servers of the tests' own, on loopback: what the outside world does, at its best and at its worst."""
