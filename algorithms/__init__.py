"""Imitation learners for udacity_gym."""
