"""Named trainings: those of the paper, those one would do today, and small ones."""
