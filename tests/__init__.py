"""Tests of timesformer."""
