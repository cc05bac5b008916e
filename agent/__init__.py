"""Nodeseal: verifies every image on a Kubernetes node at the moment containerd pulls it.

Importing this package imports nothing else: containerd's child pays for every import (docs/performance.md).
"""

__version__ = "0.1.0"

RELEASED = "2026-11-23"
"""Date of this release (UTC).  A host clock before it is implausible: certificates can't be judged by it."""
