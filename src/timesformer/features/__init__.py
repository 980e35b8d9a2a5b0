"""What a model computes of videos, as a table of vectors, and what can be read from such a table."""
