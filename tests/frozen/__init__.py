"""The frozen program, run as containerd runs it."""
