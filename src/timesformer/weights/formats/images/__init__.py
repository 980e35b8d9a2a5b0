"""Image transformers of every kind that a TimeSformer can express, and the reasons for those that it can't."""
