"""How this node's containerd comes to ask us: what its configuration says, and what a canary proves.  Pure."""
