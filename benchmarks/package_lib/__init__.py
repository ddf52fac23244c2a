"""gelu-patch as a package: what `benchmarks/package.py` measures, one file for each question."""
