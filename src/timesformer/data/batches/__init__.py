"""From the table of videos to batches of clips."""
