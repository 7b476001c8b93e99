"""Udacity's self-driving-car simulator as a Gymnasium environment."""

__version__ = "0.1.0"
