"""Everybody else's weights, read and written."""
