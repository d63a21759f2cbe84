"""Drift monitors on the same traffic: false alarms, delay to detect, blindness and cost."""
