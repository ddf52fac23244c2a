"""Metrics, and how much worse each may be: decided before looking, and fixed to the baseline."""
