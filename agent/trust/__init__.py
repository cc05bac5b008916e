"""Who is believed, for what, and when.  Pure: certificates and the time come in, check results go out."""
