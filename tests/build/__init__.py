"""Tests of what the build makes."""
