"""How far a long job has come: the progress bar of all commands, and the estimate of the time left."""
