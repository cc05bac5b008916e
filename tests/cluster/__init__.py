"""What is asked of an API server and what its answers mean, without one."""
