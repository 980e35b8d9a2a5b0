"""The decoder: opening containers, indexing frames, seeking, orientation."""
