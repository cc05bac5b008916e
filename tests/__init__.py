"""Tests of Nodeseal: mirrors agent/."""
