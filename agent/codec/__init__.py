"""Hostile bytes to values: bounded, total, and ignorant of policy."""
