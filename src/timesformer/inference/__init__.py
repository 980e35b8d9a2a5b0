"""Videos in, scores out."""
