"""Weights fitted to another model."""
