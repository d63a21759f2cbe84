"""The native kernel beside the libraries it replaces, on one core."""
