"""Plots as inline SVG: drawn by matplotlib, coloured by the page, each with its numbers as a table."""
