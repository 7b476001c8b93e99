from . import (
    jit as jit,
    physics as physics,
    records as records,
    rendering as rendering,
    scene as scene,
    track as track,
)
from .physics.car import CarParameters as CarParameters
from .physics.world import World as World
from .rendering.camera import CameraRig as CameraRig
from .track.generator import generate_track as generate_track
from .track.track import (
    Track as Track,
    built_in_tracks as built_in_tracks,
)
from .track.track_map import draw_map as draw_map
