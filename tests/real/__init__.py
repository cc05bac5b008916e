"""The frozen program under a real containerd."""
