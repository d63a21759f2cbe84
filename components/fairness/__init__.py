"""Fairness: the policy's measures for every protected group."""
