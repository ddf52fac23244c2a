"""Mutation testing with mutmut: which mutants are run, what became of them, and which survivors are explained."""

PACKAGES = ("patching", "stats", "activations", "blocks")  # by the harm that a mistake does
