"""Simulators: where the car lives, behind one interface."""
