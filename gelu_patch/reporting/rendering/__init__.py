"""A report for people: terminal, Markdown, one HTML page, model card. Each is a function of the report."""
