"""Tests of the distribution protocol: without sockets here; over sockets see `tests.adapters`."""
