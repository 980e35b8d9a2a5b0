"""Readers of folders, lists and annotation files: one for each format that a data set may have."""
