"""How containerd is wired, told from configurations of each distribution."""
