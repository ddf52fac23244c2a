"""Plots as inline SVG: drawn by matplotlib, coloured by the page's style sheet, each with its numbers as a table."""
