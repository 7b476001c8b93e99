"""A track of your own: an oval from a few lines of JSON, and a road through given corners.

A track is a file that lists the segments of its road, each with a length and a curvature. The first track
here is written by hand. The second one is laid through corners. An expert drives a lap of each, and the
program checks that it stays in its lane. It takes some seconds.

    python examples/custom_track.py --output my-tracks
    udacity-gym track show my-tracks/oval.json        # draws a map
    udacity-gym cockpit workspace --track my-tracks/oval.json
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium

import udacity_gym
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.world import Track
from udacity_gym.world.track.layout import lay_road

ROAD = {
    "half_width": 4.9,
    "lane_half_width": 3.99,
    "edge_line": {"kind": "solid", "colour": "white", "width": 0.2},
    "centre_line": {"kind": "dashed", "colour": "white", "width": 0.15, "dash": 3.0, "gap": 6.0},
}
"""A road with white lines; all lengths in m."""
CORNERS = [(0, 0), (240, 0), (240, 120), (120, 120), (120, 240), (0, 240)]
"""m east and north of the start."""
RADII = [35, 30, 25, 25, 25, 35]
"""m of the bend at each corner."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both tracks, and drive a lap of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="folder to keep the tracks in")
    parser.add_argument("--seconds", type=float, help="stop each drive after this many seconds")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.output or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for data in (oval(), road_through_corners()):
            path = Track(data).save(folder / f"{data['name']}.json")
            drive(path, options.seconds)


def oval() -> dict[str, Any]:
    """Two straights and two half circles to the left, with red and white kerbs in the second bend."""
    bend = 40.0
    half_circle = [bend * math.pi, 1 / bend]
    return {
        **header("oval"),
        "start": {"x": 0.0, "y": 0.0, "z": 0.0, "heading": 0.0},
        "segments": [[150.0, 0.0], half_circle, [150.0, 0.0], half_circle],
        "roadside": [{"kind": "kerb", "side": "both", "from": 430.0, "to": 545.0}],
        "elevation": [[0.0, 0.0], [280.0, 6.0]],  # the second straight is on a hill
    }


def road_through_corners() -> dict[str, Any]:
    """A road with a right bend, laid through corners."""
    segments, start = lay_road(CORNERS, RADII)
    return {**header("corners"), "start": start, "segments": segments}


def header(name: str) -> dict[str, Any]:
    """What both files have in common; the car starts on the start line."""
    start = {"s": 0.0, "offset": 0.0}
    return {
        "format": "udacity-gym-track",
        "version": 1,
        "name": name,
        "road": ROAD,
        "start_poses": {"training": start, "autonomous": start},
    }


def drive(path: Path, seconds: float | None) -> None:
    """Let an expert drive a lap, and check that it stays in its lane."""
    env = gymnasium.make(udacity_gym.ENV_ID, track=str(path), cameras=())
    try:
        evaluation = evaluate(PurePursuit(speed=10.0), env, laps=1, max_seconds=seconds)
    finally:
        env.close()
    print(evaluation)
    assert evaluation.interventions == 0, "the expert must stay in its lane"
    assert evaluation.distance > 9.0 * evaluation.seconds - 30.0, "the expert must keep its speed"


if __name__ == "__main__":
    main()
