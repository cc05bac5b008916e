"""Composition roots, one per mode: here the world is read (environment, clock, paths) and everything is put together."""
