"""Fitting weights to another model: clip size, scheme and head."""
