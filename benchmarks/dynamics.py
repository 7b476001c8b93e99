"""Does the twin's car turn like the recorded one?

    python benchmarks/dynamics.py path/to/recording --track lake --output fidelity

Steers the model of the car by the log, at the speeds of the log, and compares how it turned with the
reconstructed poses of the recording (see `fidelity`; those in the output folder are used again), over windows
of one and of three seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from alignment import Way
from fidelity import REGIONS, add_pose_options, add_skip_option, find_poses, way_of
from numpy.typing import NDArray
from proofs import add_output_option, markdown

from udacity_gym.files import write_whole
from udacity_gym.recording import Episode, open_recording
from udacity_gym.world.track.track import Track

Floats = NDArray[np.float64]

WINDOWS = (1.0, 3.0)
"""s over which turning is compared."""
SLOWEST = 1.0
"""m/s below which a window does not count."""


class Turning(NamedTuple):
    """How a car turned in windows of a recording against how its model did.

    Attributes:
        windows: how many.
        error: rad, root mean square of the difference.
        ratio: of the recorded turns to those of the model, least squares.
    """

    windows: int
    error: float
    ratio: float


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, help="folder with a driving_log.csv of one episode")
    parser.add_argument("--track", choices=sorted(REGIONS), default="lake")
    add_pose_options(parser, every=5)
    add_skip_option(parser)
    add_output_option(parser)
    options = parser.parse_args()
    track = Track.load(options.track)
    options.output.mkdir(parents=True, exist_ok=True)
    episode = open_recording(options.recording).episodes[0]
    path = options.output / f"{track.name}-poses.npz"
    frames, aligned = find_poses(episode, track, options.start, options.first, path)
    yaw = np.full(len(episode), np.nan)
    yaw[frames] = np.unwrap([aligned.pose(track, i).yaw for i in range(len(frames))])
    yaw[slice(*options.skip)] = np.nan
    way = way_of(episode)
    turnings = {seconds: turning(episode, way, yaw, seconds, options.every) for seconds in WINDOWS}
    titles = ["window, s", "windows", "error of the model, rad", "recorded turn / model's"]
    rows = [
        [f"{seconds:g}", str(t.windows), f"{t.error:.3f}", f"{t.ratio:.3f}"]
        for seconds, t in turnings.items()
    ]
    print(markdown(titles, rows))
    figures = {str(seconds): t._asdict() for seconds, t in turnings.items()}
    write_whole(options.output / f"{track.name}-dynamics.json", json.dumps(figures, indent=1) + "\n")


def turning(episode: Episode, way: Way, yaw: Floats, seconds: float, every: int) -> Turning:
    """Compare turns over windows of an episode.

    Args:
        episode: the episode.
        way: of its log.
        yaw: (n,) rad to the left, unwrapped; NaN where it is not known.
        seconds: s, length of a window.
        every: rows from the beginning of one window to that of the next.
    """
    time, pairs = episode.time, []
    for first in range(0, len(episode), every):
        last = int(np.searchsorted(time, time[first] + seconds))
        if last >= len(episode):
            break
        if np.isfinite(yaw[first : last + 1]).all() and episode.speed[first : last + 1].min() > SLOWEST:
            pairs.append((yaw[last] - yaw[first], way.turned[last] - way.turned[first]))
    recorded, model = np.array(pairs).T
    return Turning(
        len(recorded),
        float(np.sqrt(np.mean((recorded - model) ** 2))),
        float(recorded @ model / (model @ model)),
    )


if __name__ == "__main__":
    main()
