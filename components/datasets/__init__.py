"""Data for the demos: simulated card transactions and real mortgage applications."""
