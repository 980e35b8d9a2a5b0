"""What a model looked at in a video: computed, kept, and written as a film or a picture."""
