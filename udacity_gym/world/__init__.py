"""The twin: track, car, cameras and pictures. No networking, no gymnasium."""
