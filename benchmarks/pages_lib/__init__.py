"""What the generated tables and pages of docs/ and README.md say, each from results in benchmarks/results/."""
