"""Recipes: the trainings of the paper, current trainings, and trainings for small data sets."""
