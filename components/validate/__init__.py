"""Validate: the records as a whole against the contract."""
