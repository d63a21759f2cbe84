"""Gate: every demand with its number; stops what does not reach them."""
