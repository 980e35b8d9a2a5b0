"""The parts of a training: settings chosen from the data, loss, optimiser, processes, run folder, display."""
