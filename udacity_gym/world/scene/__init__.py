"""What there is to see: land, road furniture, light and shadows, built from the track file."""
