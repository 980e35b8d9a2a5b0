"""Checkpoints: our own file, and everybody else's."""
