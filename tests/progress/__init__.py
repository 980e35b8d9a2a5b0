"""Tests of the progress bar and its estimates."""
