"""What is asked of a Kubernetes API server, and what its answers mean: values in and out, no I/O, no clock."""
