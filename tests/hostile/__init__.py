"""Bad input of every kind, one process each: the answer, the time and the memory that it took."""
