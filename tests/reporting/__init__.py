"""Tests of what a report says of a run."""
