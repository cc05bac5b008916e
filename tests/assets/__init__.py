"""Signatures with one defect each, as files named after it, and the program that makes them."""
