"""Features: the contract's features of every record, as known at its time."""
