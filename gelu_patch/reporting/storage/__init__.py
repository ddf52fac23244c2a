"""What a run keeps on disk: report, predictions, single times. A crash never leaves half of a file."""
