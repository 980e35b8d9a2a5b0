"""Scores over time: windows along a video, and what becomes of their scores."""
