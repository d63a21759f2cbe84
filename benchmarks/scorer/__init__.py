"""The scorer beside the servers a user would pick instead: ``make bench-scorer``."""
