"""A run's folder: what is kept in it, and resuming from it."""
