"""Where a recorded road lies in the shade: outlines for ``surroundings.shade`` of a track file.

    python benchmarks/shade.py path/to/recording --track jungle --stretch 990 1502 --output fidelity

Reconstructs the poses of the recording (see `fidelity`; those in the output folder are used again). Each
place on the road and its verges is seen in many images. Those that are near say whether it is dark or light,
and the majority decides. Around what is dark it draws outlines, for each ``--stretch`` of the lap, and writes
them to ``NAME-shade.json``. It prints how many single observations, near ones with more weight, agree with
the majority, which is all of them if the poses are exact, with the outlines, and with the track file's shade.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from alignment import Aligner, Alignment
from fidelity import REGIONS, SHADE, SUN, add_pose_options, add_skip_option, find_poses, see_road
from numpy.typing import NDArray
from proofs import add_output_option

from udacity_gym.files import write_whole
from udacity_gym.recording import Episode, open_recording
from udacity_gym.world.scene.shadows import MEASURED
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import RoadPoint, Shade

Plane = NDArray[np.float32]

ALONG, ACROSS = 0.25, 0.125
"""m, sides of a cell of the map along the road and across."""
OFFSETS = np.arange(-MEASURED, MEASURED + ACROSS / 2, ACROSS)
NEAR, FAR = 2.6, 11.0
"""m before the car between which images are believed."""
VERGE = (52.0, 72.0)
"""Brightness below which a verge lies in the shade, and above which in the sun; it is darker than asphalt."""
LEAST = 0.4
"""m2, area of the smallest shadow, and of the smallest gap in one."""
FINER = 4
"""Parts of a cell, each way, to which outlines are smoothed."""
DETAIL = 0.1
"""m by which an outline with fewer corners may differ."""


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, help="folder with a driving_log.csv of one episode")
    parser.add_argument("--track", choices=sorted(REGIONS), default="jungle")
    add_pose_options(parser, every=1)
    add_skip_option(parser)
    parser.add_argument(
        "--stretch", type=float, nargs=2, metavar=("FROM", "TO"), action="append", required=True,
        help="m of the lap that the recording covers; may be given more than once",
    )  # fmt: skip
    add_output_option(parser)
    options = parser.parse_args()
    track = Track.load(options.track)
    for begin, end in options.stretch:
        if not 0 <= begin < end <= track.length:
            parser.error(f"--stretch {begin} {end} is not on the lap of {track.length:.1f} m")
    options.output.mkdir(parents=True, exist_ok=True)
    episode = open_recording(options.recording).episodes[0]
    poses = options.output / f"{track.name}-poses.npz"
    frames, aligned = find_poses(episode, track, options.start, options.first, poses)
    used = [
        i for i in range(0, len(frames), options.every) if not options.skip[0] <= frames[i] < options.skip[1]
    ]
    dark, light = observe(episode, track, frames, aligned, used)
    stretches = [
        {"from": begin, "to": end, "outlines": outlines(dark, light, begin, end)}
        for begin, end in options.stretch
    ]
    report(track, dark, light, stretches)
    path = options.output / f"{track.name}-shade.json"
    write_whole(path, json.dumps(stretches, indent=1) + "\n")


def observe(
    episode: Episode, track: Track, frames: list[int], aligned: Alignment, used: list[int]
) -> tuple[Plane, Plane]:
    """Count how often each place of the road is dark in the images of an episode, and how often light.

    Args:
        episode: the episode.
        track: its track.
        frames: rows of the episode that have poses.
        aligned: their poses.
        used: indices into ``frames`` of those to look at.

    Returns:
        Two (cells along the lap, cells across) float32, sums of weights; a near image weighs more.
    """
    aligner = Aligner(track)
    cells = round(track.length / ALONG)
    dark, light = (np.zeros((cells, len(OFFSETS)), np.float32) for _ in range(2))
    paved = (np.abs(OFFSETS) < track.half_width)[:, None]
    low, high = np.where(paved, SHADE, VERGE[0]), np.where(paved, SUN, VERGE[1])
    for i in used:
        s = aligned.s[i] % track.length
        along = np.arange(int(np.ceil((s + NEAR) / ALONG)), int((s + FAR) / ALONG) + 1)
        column, row, depth, visible = see_road(aligner, aligned, i, along * ALONG, OFFSETS)
        image = np.asarray(episode.image("center", frames[i])).astype(np.float32).mean(axis=2)
        value = cv2.remap(image, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
        weight = visible / np.maximum(depth, 2.0) ** 2
        np.add.at(dark, along % cells, (weight * (value < low)).T)
        np.add.at(light, along % cells, (weight * (value > high)).T)
    return dark, light


def outlines(dark: Plane, light: Plane, begin: float, end: float) -> list[list[list[float]]]:
    """Outlines of the shadows of a stretch, as a track file has them: corners of s and offset in m.

    A place that no image shows is as the nearest one across the road that some image shows.

    Raises:
        SystemExit: At some s no image shows any place.
    """
    rows = slice(round(begin / ALONG), round(end / ALONG) + 1)
    known = (dark + light)[rows] > 0
    if not known.any(axis=1).all():
        raise SystemExit(
            f"no image shows the road at s = {(rows.start + known.any(axis=1).argmin()) * ALONG:.1f} m"
        )
    balance = (dark - light)[rows] / np.maximum((dark + light)[rows], 1e-6)
    for s in range(len(balance)):
        columns = np.nonzero(known[s])[0]
        nearest = np.abs(np.arange(len(OFFSETS))[:, None] - columns).argmin(axis=1)
        balance[s] = balance[s, columns[nearest]]
    smooth = cv2.GaussianBlur(balance.astype(np.float32), (0, 0), 0.8)
    fine = cv2.resize(smooth, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
    shaded = (fine > 0).astype(np.uint8)
    least = LEAST / (ALONG * ACROSS) * FINER**2
    for what in (0, 1):  # first the gaps, then the shadows
        _, labels, figures, _ = cv2.connectedComponentsWithStats((shaded == what).astype(np.uint8))
        small = figures[:, cv2.CC_STAT_AREA] < least
        small[0] = False
        shaded[small[labels]] = 1 - what
    framed = cv2.copyMakeBorder(shaded, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    found, _ = cv2.findContours(framed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    scale = np.array([ACROSS, ALONG]) / FINER
    origin = np.array([OFFSETS[0] - ACROSS / 2, (rows.start - 0.5) * ALONG])
    shadows = []
    for contour in found:
        places = (contour[:, 0] - 0.5) * scale + origin
        corners = cv2.approxPolyDP(places.astype(np.float32), DETAIL, True)[:, 0]
        if len(corners) >= 3:
            shadows.append([[round(float(s), 2), round(float(offset), 2)] for offset, s in corners])
    return shadows


def report(track: Track, dark: Plane, light: Plane, stretches: list[dict[str, Any]]) -> None:
    """Print how many observations agree with the majority, the new outlines and those of the track file."""
    stretched = tuple(
        Shade(
            stretch["from"],
            stretch["to"],
            tuple(tuple(map(RoadPoint._make, outline)) for outline in stretch["outlines"]),
        )
        for stretch in stretches
    )
    maps = {
        "the majority": (dark > light).astype(np.float32),
        "the new outlines": shade_map(stretched, dark.shape),
        f"the shade of {track.name}": shade_map(track.file.surroundings.shade, dark.shape),
    }
    measured = ~np.isnan(maps["the new outlines"])
    paved = (np.abs(OFFSETS) < track.half_width)[None]
    corners = sum(len(outline) for stretch in stretches for outline in stretch["outlines"])
    print(f"{sum(len(stretch['outlines']) for stretch in stretches)} outlines of {corners} corners")
    for name, shaded in maps.items():
        agree, known = np.where(shaded > 0, dark, light), measured & ~np.isnan(shaded)
        if not known.any():
            continue
        shares = [
            float(agree[known & place].sum() / (dark + light)[known & place].sum())
            for place in (paved, ~paved)
        ]
        print(f"observations that agree with {name}: road {shares[0]:.1%}, verges {shares[1]:.1%}")


def shade_map(shades: tuple[Shade, ...], shape: tuple[int, ...]) -> Plane:
    """A map of shade: 1 in it, 0 in the sun, nan where the stretches say nothing."""
    shaded = np.full(shape, np.nan, np.float32)
    for shade in shades:
        inside = np.zeros(shape, np.uint8)
        places = [np.array(outline)[:, ::-1] for outline in shade.outlines]
        places = [(place - [OFFSETS[0], 0.0]) / [ACROSS, ALONG] * 16 for place in places]
        if places:
            cv2.fillPoly(inside, [np.round(place).astype(np.int32) for place in places], 1, cv2.LINE_8, 4)
        rows = slice(round(shade.begin / ALONG), round(shade.end / ALONG))
        shaded[rows] = inside[rows]
    return shaded


if __name__ == "__main__":
    main()
