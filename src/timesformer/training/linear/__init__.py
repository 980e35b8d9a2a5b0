"""The head fitted to features of a frozen backbone: seconds in place of a training."""
