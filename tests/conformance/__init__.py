"""Nodeseal's verification behind the command line of a public conformance suite."""
