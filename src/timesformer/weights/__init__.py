"""Checkpoints: our own file format, other formats, fitting to another model, and published weights by name."""
