"""Heat over videos: the map of colours, the overlay on frames, films, contact sheets and attention over time."""
