"""What a model can be trained for: one file for each task, and a table of them."""
