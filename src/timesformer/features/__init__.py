"""Vectors of videos: computed, kept in a file, and compared."""
