"""Tests of the documentation: what it promises is what the program does."""
