"""Settings chosen from what the data shows and the machine has."""
