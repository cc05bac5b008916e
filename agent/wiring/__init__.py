"""How containerd on a node is set up to call the verifier, and what would have to change: facts in, values out."""
