"""Paired statistics on plain numpy arrays: no models, no files, no torch."""
