"""Register: a signed bundle and its version."""
