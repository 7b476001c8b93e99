"""Images of the scene: cameras, compiled kernels, weather."""
