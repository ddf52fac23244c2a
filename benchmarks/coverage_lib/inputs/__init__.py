"""Inputs made from what a class says about itself: its signature, its config, its feature extractors."""
