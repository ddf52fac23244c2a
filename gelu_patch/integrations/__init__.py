"""Bridges to other libraries. Each one imports its library on first use."""
