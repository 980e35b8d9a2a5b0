"""From a folder or list of videos to batches."""
