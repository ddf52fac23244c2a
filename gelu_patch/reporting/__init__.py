"""Run folders, comparisons, verdicts and reports: everything that works without torch and without a model."""
