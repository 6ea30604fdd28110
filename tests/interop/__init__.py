"""Agreement with other implementations of DKIM."""
