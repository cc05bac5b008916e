"""Tests that build the project anew, as somebody else has it: `make test-full`."""
