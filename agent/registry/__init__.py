"""The OCI distribution protocol without I/O: requests go out and responses come in as values."""
