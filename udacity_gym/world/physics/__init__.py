"""Physics: the car, the ground under it, the fixed-step loop."""
