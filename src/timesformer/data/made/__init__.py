"""Videos that are generated."""
