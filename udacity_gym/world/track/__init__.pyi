from . import (
    generator as generator,
    landscape as landscape,
    layout as layout,
    reader as reader,
    track as track,
    track_file as track_file,
    track_map as track_map,
)
from .generator import generate_track as generate_track
from .track import (
    Track as Track,
    TrackPoint as TrackPoint,
    built_in_tracks as built_in_tracks,
)
from .track_map import draw_map as draw_map
