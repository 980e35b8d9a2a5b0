"""How a model is trained on a machine: device and precision, processes, optimiser, adapters."""
