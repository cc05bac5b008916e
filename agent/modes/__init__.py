"""Composition roots, one per mode: the world is read here (environment, paths) and everything is put together."""
