"""The transformer: pure tensors, no files, prints, devices or environment."""
