"""What the benchmarks of speed share: sampling in rounds, results in pieces, models and arms, bars, and the page."""
