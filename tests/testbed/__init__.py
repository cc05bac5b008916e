"""A real node for tests: containerd, registry and notation in private namespaces; nothing on the host is changed."""
