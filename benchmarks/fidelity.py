"""How much the twin looks like the simulator it imitates: real recordings against their re-rendered poses.

    python benchmarks/fidelity.py path/to/recording --track lake --output fidelity
    python benchmarks/fidelity.py path/to/recording --track jungle --start 955 2.5 0.4 --output fidelity
    python benchmarks/fidelity.py path/to/recording --track lake --cross --output fidelity

Reconstructs the poses of a recording (see `alignment`), draws the same poses, and
reports, per region of the image, mean colour and spread of both, and how far the lines found in
either lie from where the track has them. Sheets of images side by side, the poses and the figures go to the
output folder.

With --cross it trains two networks for each seed: one on the first 80 % of the recording, one on an expert's
laps in the twin, which has seen no real image. Both steer on the last 20 % of the recording; the one of real
images also drives in the twin. Both are taken after their last epoch, so the rows that judge choose nothing.
Intervals are 95 % (Student's t) over seeds. An interrupted run is resumed by the same command.

Recordings of others may carry no licence: keep the sheets to yourself.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from alignment import FOCAL, Aligner, Alignment, Way, dead_reckon
from numpy.typing import NDArray
from proofs import add_executor_options, add_output_option, go_on_with, side_by_side

from udacity_gym.cli.shared import executor_of
from udacity_gym.evaluation import correlation, mean_estimate
from udacity_gym.evaluation.identity import digits
from udacity_gym.executors import Shared
from udacity_gym.files import write_whole
from udacity_gym.recording import open_recording
from udacity_gym.recording.images import decode_image, encode_jpeg
from udacity_gym.sensors import Label
from udacity_gym.telemetry import CAMERAS, MPH, Image
from udacity_gym.text import table
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from udacity_gym.recording import Episode

STARTS = {"lake": (0.0, 0.46, 0.0), "jungle": (0.0, 2.5, 0.0)}
"""s, offset and heading error of training mode's start."""
SPREAD = (2.0, 0.6, 0.15)
"""How far off a start may be: m, m, rad."""
REGIONS = {
    "lake": {
        "asphalt": (-2.8, -1.8, -0.8, 0.8, 1.8, 2.8),
        "line": (-3.93, -3.45, 3.45, 3.93),
        "kerb": (-6.0, -5.6, -5.2, 5.2, 5.6, 6.0),
        "verge": (-10.5, -9.5, -8.5, 8.5, 9.5, 10.5),
        "bridge": (-6.0, -5.4, -4.0, -2.7, -1.3, 0.0, 1.3, 2.7, 4.0, 5.4, 6.0),
    },
    "jungle": {
        "asphalt": (-3.6, -2.4, -1.2, 1.2, 2.4, 3.6),
        "line": (-4.6, 4.6),
        "verge": (-6.2, -5.6, -5.2, 5.2, 5.6, 6.2),
    },
}
"""m right of the centre line where each region of the road is sampled, by track; "bridge" on the bridge only,
the others elsewhere."""
SKY, LAND = "sky", "terrain"
SHADE = 85.0
"""Brightness below which asphalt lies in the shade: the jungle's is 40 to 60 there, above 120 in the sun."""
SUN = 105.0
"""Brightness above which asphalt lies in the sun."""
TINTS = np.array([side * (0.375 + 0.25 * k) for side in (-1, 1) for k in range(16)])
TINTS.sort()
"""m right of the centre line where the tint of the asphalt is measured; closer to it there is a line."""
METHOD = 4
"""Number of the method by which poses are reconstructed; poses of another one are not used again."""
LEAST_SAMPLES = 20
"""Samples at an offset that are enough to measure a tint by."""
ROWS = ((64, 84), (84, 108), (108, 136))
"""Ranges of image rows in which the asphalt is compared, far to near."""
ANGLES = (0, 20, 40, 60, 90, 180)
"""Degrees between the directions of view and to the sun, seen from above: limits of the ranges compared."""
GRAIN = 4.0
"""px, deviation of the Gaussian that removes what is not grain."""
BEND = 0.05
"""Recorded steering above which a row counts as one in a bend."""


@dataclass
class Pair:
    """A real image and the twin's of the same pose."""

    frame: int
    s: float
    offset: float
    real: Image
    drawn: Image
    labels: NDArray[np.uint8]


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, help="folder with a driving_log.csv of one episode")
    parser.add_argument("--track", choices=sorted(REGIONS), default="lake")
    add_pose_options(parser, every=20)
    add_skip_option(parser)
    parser.add_argument("--cross", action="store_true", help="train networks and swap their jobs")
    parser.add_argument("--epochs", type=int, default=Cross.epochs, help="of each training")
    parser.add_argument("--laps", type=int, default=Cross.laps, help="recorded, and driven, in the twin")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of the trainings")
    add_executor_options(parser)
    add_output_option(parser)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    track = Track.load(options.track)
    episode = open_recording(options.recording).episodes[0]
    frames, aligned = find_poses(
        episode, track, options.start, options.first, options.output / f"{track.name}-poses.npz"
    )
    figures: dict[str, Any] = {"track": options.track, "frames": len(frames)}
    pairs = draw_pairs(episode, track, frames, aligned, options.every)
    pairs = [pair for pair in pairs if not options.skip[0] <= pair.frame < options.skip[1]]
    figures["regions"] = compare_regions(pairs, track, frames, aligned)
    figures["edges"] = compare_edges(pairs, track, frames, aligned)
    figures["asphalt"] = compare_asphalt(pairs, track, frames, aligned)
    figures["tint"] = measure_tint(pairs, track, frames, aligned)
    write_sheets(pairs, options.output, options.track)
    report(figures)
    if options.cross:
        settings = Cross(options.recording, options.track, options.epochs, options.laps)
        folder = options.output / f"{options.track}-cross"
        go_on_with(folder, {**asdict(settings), "recording": options.recording.name})
        images = Shared([(pair.real, pair.drawn) for pair in pairs], "the images")
        work = partial(cross_train, settings, images, folder)
        rows = dict(side_by_side(work, options.seeds, executor_of(options)))
        figures["cross"] = [rows[seed] for seed in options.seeds]
        print(f"\n{cross_tables(figures['cross'])}")
    write_whole(options.output / f"{options.track}-figures.json", json.dumps(figures, indent=1) + "\n")


def add_pose_options(parser: argparse.ArgumentParser, every: int) -> None:
    """Add the options that say where a recording begins and which of its frames are compared."""
    parser.add_argument(
        "--start", type=float, nargs=3, metavar=("S", "OFFSET", "HEADING_ERROR"),
        help="m, m and rad of the first frame; left out: training mode's start",
    )  # fmt: skip
    parser.add_argument("--first", type=int, default=0, help="frame to begin with, at --start")
    parser.add_argument("--every", type=int, default=every, help="frames from one compared to the next")


def add_skip_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves frames out."""
    parser.add_argument(
        "--skip", type=int, nargs=2, metavar=("FROM", "TO"), default=(0, 0),
        help="frames of the log that are left out, because their poses are wrong",
    )  # fmt: skip


def find_poses(
    episode: Episode, track: Track, start: Sequence[float] | None, first: int, path: Path
) -> tuple[list[int], Alignment]:
    """Reconstruct the poses of an episode, which takes minutes, or read them.

    Args:
        episode: the episode.
        track: its track.
        start: s in m, offset in m and heading error in rad of the first frame; None is the start of the
            training mode.
        first: frame to begin with.
        path: file that keeps the poses.

    Returns:
        The frames, and the poses of all of them.

    Raises:
        SystemExit: The file keeps poses of another recording, from another start, or by another method.
    """
    start = start or STARTS[track.name]
    driven = digits(np.ascontiguousarray(episode.steering).tobytes())
    origin = f"method {METHOD}, steering {driven}, start {[float(value) for value in start]}, first {first}"
    if path.exists():
        with np.load(path) as kept:
            if "origin" not in kept or str(kept["origin"]) != origin:
                raise SystemExit(
                    f"{path} has the poses of another recording, start or method: give another --output, "
                    "or delete it"
                )
            return kept["frames"].tolist(), Alignment(*(kept[name] for name in Alignment._fields))
    frames, aligned = reconstruct(episode, track, start, first)
    np.savez(path, frames=frames, origin=np.array(origin), **aligned._asdict())
    return frames, aligned


def reconstruct(
    episode: Episode,
    track: Track,
    start: Sequence[float],
    first: int = 0,
    particles: int = 1000,
    seed: int = 0,
) -> tuple[list[int], Alignment]:
    """Reconstruct the poses of an episode.

    The first pass looks at every fourth frame. The second one looks at all of them on level roads, and at
    every fourth again on hilly ones, where the poses between them are interpolated.

    Returns:
        The frames, and the poses of all of them.
    """
    aligner = Aligner(track)
    way = way_of(episode)

    def image(k: int) -> Image:
        return np.asarray(episode.image("center", k))

    some = list(range(first, len(episode), 4))
    frames = list(range(first, some[-1] + 1))

    rough = aligner.follow(
        image, some, way, np.array(start), np.array(SPREAD), particles=particles, seed=seed
    )
    if aligner.look.sure is not None:
        return frames, between(aligner.refine(image, some, way, rough), some, frames)
    expected = np.stack([np.interp(frames, some, rough[:, c]) for c in range(3)], axis=1)
    return frames, aligner.smooth(image, frames, way, expected)


def way_of(episode: Episode) -> Way:
    """The way of the car's model with the controls and the speeds of an episode."""
    return dead_reckon(episode.time, episode.steering, episode.throttle - episode.brake, episode.speed)


def between(aligned: Alignment, some: Sequence[int], frames: Sequence[int]) -> Alignment:
    """Interpolate the poses of all frames from those of some.

    Deviations are interpolated, too; ``found`` and ``error`` are those of the last of these frames.
    """
    before = np.searchsorted(some, frames, side="right") - 1

    def blend(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(frames, some, values)

    return Alignment(
        blend(aligned.s),
        blend(aligned.offset),
        blend(aligned.heading_error),
        blend(aligned.pitch),
        np.stack([blend(column) for column in aligned.deviation.T], axis=1),
        aligned.found[before],
        aligned.error[before],
    )


def draw_pairs(
    episode: Episode, track: Track, frames: list[int], aligned: Alignment, every: int
) -> list[Pair]:
    """Real and drawn images of every ``every``-th pose."""
    rig = CameraRig(track)
    pairs = []
    for i in range(0, len(frames), every):
        drawn = rig.draw_all(aligned.pose(track, i), ("center", "center_segmentation"), "training")
        real = np.asarray(episode.image("center", frames[i]))
        pairs.append(
            Pair(
                frames[i],
                float(aligned.s[i]),
                float(aligned.offset[i]),
                real,
                _through_jpeg(drawn["center"]),
                drawn["center_segmentation"],
            )
        )
    return pairs


def _through_jpeg(image: Image) -> Image:
    """What is left of an image by Unity's JPEG encoder: quality 75, half the colour."""
    return np.asarray(decode_image(encode_jpeg(image), Path("drawn")))


def see_road(
    aligner: Aligner, aligned: Alignment, i: int, s: NDArray[Any], offsets: Sequence[float] | NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where a grid of places on the road lies in the center image of a pose.

    Args:
        aligner: of the track.
        aligned: the poses.
        i: which of them.
        s: (m,) m along the track.
        offsets: (n,) m right of the centre line.

    Returns:
        Column and row in px, depth in m, and whether the place is in view, neither behind a crest nor under
        the bonnet; (n, m) each.
    """
    state = np.array([[aligned.s[i], aligned.offset[i], aligned.heading_error[i], aligned.pitch[i]]])
    shape = (1, len(offsets), len(s))
    across = np.broadcast_to(np.array(offsets)[:, None], shape)
    column, row, depth = (plane[0] for plane in aligner.project(state, np.broadcast_to(s, shape), across))
    rising = np.minimum.accumulate(row, axis=1) >= row - 1e-9
    visible = (depth > 1) & (column > 1) & (column < 318) & (row > 40) & (row < 134) & rising
    return column, row, depth, visible


def compare_regions(
    pairs: list[Pair], track: Track, frames: list[int], aligned: Alignment
) -> dict[str, dict[str, Any]]:
    """Mean colour and spread (standard deviation of brightness) by region, real and drawn."""
    aligner = Aligner(track)
    ahead = np.arange(4.0, 18.0, 0.5)
    samples: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for pair in pairs:
        i = frames.index(pair.frame)
        s = aligned.s[i] + ahead
        bridge = np.isfinite([track.line.wall_left[track.index(place)] for place in s])
        for name, offsets in REGIONS[track.name].items():
            places = s[bridge if name == "bridge" else ~bridge]
            if not len(places):
                continue
            column, row, _, visible = see_road(aligner, aligned, i, places, offsets)
            pixel = (np.round(row[visible]).astype(int), np.round(column[visible]).astype(int))
            samples.setdefault(name, []).append((pair.real[pixel], pair.drawn[pixel]))
        for name, label in ((SKY, Label.SKY), (LAND, Label.TERRAIN)):
            mask = (pair.labels == label).astype(np.uint8)
            mask = cv2.erode(mask, np.ones((9, 9), np.uint8)).astype(bool)
            mask[134:] = False
            samples.setdefault(name, []).append((pair.real[mask], pair.drawn[mask]))
    regions = {}
    for name, both in samples.items():
        real, drawn = (np.concatenate([pair[k] for pair in both]).astype(np.float64) for k in (0, 1))
        regions[name] = {
            "pixels": len(real),
            "real": real.mean(axis=0).round(1).tolist(),
            "drawn": drawn.mean(axis=0).round(1).tolist(),
            "real_spread": round(float(real.mean(axis=1).std()), 1),
            "drawn_spread": round(float(drawn.mean(axis=1).std()), 1),
        }
        if name == "asphalt":
            dark, drawn_dark = (colours.mean(axis=1) < SHADE for colours in (real, drawn))
            regions[name]["dark"] = [float(dark.mean()), float(drawn_dark.mean())]
            regions[name]["both_dark_or_light"] = float((dark == drawn_dark).mean())
    return regions


def compare_asphalt(
    pairs: list[Pair], track: Track, frames: list[int], aligned: Alignment
) -> dict[str, dict[str, dict[str, float]]]:
    """Brightness of the asphalt by image row and angle to the sun, and its grain, real and drawn.

    The grain is the standard deviation of what a wide blur removes.
    """
    sun = Daylight.of(track).sun
    columns = (np.arange(320) + 0.5 - 160.0) / FOCAL
    samples: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for pair in pairs:
        camera = camera_row(aligned.pose(track, frames.index(pair.frame)), "center", "training")
        ray = camera[3:5] + columns[:, None] * camera[6:8]  # as seen from above, at the height of the horizon
        cosine = ray @ sun[:2] / np.hypot(*ray.T) / np.hypot(*sun[:2])
        angle = np.broadcast_to(np.degrees(np.arccos(cosine.clip(-1, 1))), (160, 320))
        road = cv2.erode((pair.labels == Label.ROAD).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        both = [image.mean(axis=2) for image in (pair.real, pair.drawn)]
        grain = [image - cv2.GaussianBlur(image, (0, 0), GRAIN) for image in both]
        for top, bottom in ROWS:
            inside = road & (np.arange(160)[:, None] >= top) & (np.arange(160)[:, None] < bottom)
            for low, high in pairwise(ANGLES):
                chosen = inside & (angle >= low) & (angle < high)
                values = np.stack([image[chosen] for image in (*both, *grain)])
                samples.setdefault((f"rows {top}-{bottom}", f"{low}-{high}"), []).append(values)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for (rows, angles), parts in samples.items():
        values = np.concatenate(parts, axis=1)
        if values.shape[1] >= 500:
            names = ("real", "drawn", "real_grain", "drawn_grain")
            numbers = (*np.median(values[:2], axis=1), *values[2:].std(axis=1))
            cell = {name: round(float(x), 1) for name, x in zip(names, numbers, strict=True)}
            figures.setdefault(rows, {})[angles] = cell
    return figures


def measure_tint(
    pairs: list[Pair], track: Track, frames: list[int], aligned: Alignment
) -> list[tuple[float, ...]]:
    """Measure how the colour of the asphalt changes across the road, as ``road.tint`` of a track file has it.

    For each offset from the centre line, the colour of real asphalt relative to drawn asphalt, once where the
    sun shines on both and once where both are in the shade. The geometric mean of the two corrects the
    track's own tint. Both are medians, as inexact poses mix asphalt with the paint of lines and with verge.
    An offset with too few samples in one light takes the factor of the other; in both, it keeps the tint.

    Returns:
        Rows of offset in m and factors of red, green and blue.
    """
    aligner = Aligner(track)
    ahead = np.arange(3.0, 14.0, 0.25)
    ratios: list[list[list[NDArray[np.float64]]]] = [[[] for _ in TINTS] for _ in range(2)]  # sun and shade
    for pair in pairs:
        i = frames.index(pair.frame)
        column, row, _, visible = see_road(aligner, aligned, i, aligned.s[i] + ahead, TINTS)
        pixel = (np.round(row[visible]).astype(int), np.round(column[visible]).astype(int))
        asphalt = cv2.erode((pair.labels == Label.ROAD).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        soft = [cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0) for image in (pair.real, pair.drawn)]
        colours = np.stack([image[pixel].astype(np.float64) for image in soft])
        light = colours.mean(axis=2)
        which = np.nonzero(visible)[0]
        for parts, alike in zip(
            ratios, ((light > SUN).all(axis=0), (light < SHADE).all(axis=0)), strict=True
        ):
            chosen = alike & asphalt[pixel]
            bright = np.maximum(colours[:, chosen], 1.0)
            ratio = np.log(bright[0] / bright[1])
            for k, part in enumerate(parts):
                part.append(ratio[which[chosen] == k])
    before = np.ones((len(TINTS), 3))
    if track.file.road.tint:
        offsets, *channels = np.array(track.file.road.tint).T
        before = np.stack([np.interp(TINTS, offsets, channel) for channel in channels], axis=1)
    rows = []
    for k, offset in enumerate(TINTS):
        known = [np.concatenate(parts[k]) for parts in ratios if sum(map(len, parts[k])) >= LEAST_SAMPLES]
        change = np.mean([np.median(part, axis=0) for part in known], axis=0) if known else np.zeros(3)
        rows.append((float(offset), *map(float, (before[k] * np.exp(change)).round(3))))
    return rows


def compare_edges(
    pairs: list[Pair], track: Track, frames: list[int], aligned: Alignment
) -> dict[str, dict[str, float]]:
    """Distances (px) of the lines found in real and in drawn images from those of the aligned track."""
    aligner = Aligner(track)
    distances: dict[str, list[float]] = {"real": [], "drawn": []}
    for pair in pairs:
        i = frames.index(pair.frame)
        state = np.array([aligned.s[i], aligned.offset[i], aligned.heading_error[i], aligned.pitch[i]])
        spread = np.diag(np.square(aligned.deviation[i]))
        for name, image in (("real", pair.real), ("drawn", pair.drawn)):
            distances[name] += np.abs(aligner.search(image, state, spread)[0]).tolist()
    return {
        name: {
            "points": len(found),
            "median": round(float(np.median(found)), 2),
            "95%": round(float(np.percentile(found, 95)), 2),
        }
        for name, found in distances.items()
        if found
    }


def write_sheets(pairs: list[Pair], folder: Path, name: str, rows: int = 6, columns: int = 3) -> None:
    """Sheets with the real image at the left of each pair."""
    for begin in range(0, len(pairs), rows * columns):
        cells = []
        for pair in pairs[begin : begin + rows * columns]:
            cell = np.hstack([pair.real, pair.drawn]).copy()
            text = f"{pair.frame}  s {pair.s:.0f}  {pair.offset:+.1f}"
            cv2.putText(cell, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
            cells.append(np.pad(cell, ((1, 1), (2, 2), (0, 0)), constant_values=255))
        cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
        sheet = np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
        cv2.imwrite(str(folder / f"{name}-sheet-{begin // (rows * columns):02d}.png"), sheet[..., ::-1])


def report(figures: dict[str, Any]) -> None:
    """Print the results."""
    print(f"{figures['track']}: {figures['frames']} poses")
    print(f"{'region':<9}{'real RGB':>22}{'drawn RGB':>22}{'distance':>10}{'spread':>8}{'drawn':>7}")
    for name, row in figures["regions"].items():
        real, drawn = np.array(row["real"]), np.array(row["drawn"])
        colours = "".join(f"{' '.join(f'{c:.0f}' for c in rgb):>22}" for rgb in (real, drawn))
        distance = float(np.linalg.norm(real - drawn))
        print(f"{name:<9}{colours}{distance:>10.1f}{row['real_spread']:>8.1f}{row['drawn_spread']:>7.1f}")
    asphalt = figures["regions"]["asphalt"]
    (dark, drawn_dark), alike = asphalt["dark"], asphalt["both_dark_or_light"]
    print(f"asphalt in the shade: real {dark:.0%}, drawn {drawn_dark:.0%}, alike {alike:.0%}")
    print("tint of the asphalt: [offset, red, green, blue] in m and as factors")
    print(json.dumps(figures["tint"]))
    for name, row in figures["edges"].items():
        print(f"lines, {name}: median {row['median']} px, 95 % {row['95%']} px of {row['points']} points")
    print("asphalt, by degrees from the sun: brightness real/drawn (grain real/drawn)")
    for name, cells in figures["asphalt"].items():
        values = (
            f"{angles}: {c['real']:.0f}/{c['drawn']:.0f} ({c['real_grain']:.0f}/{c['drawn_grain']:.0f})"
            for angles, c in cells.items()
        )
        print(f"{name:<14}" + "  ".join(values))


@dataclass(frozen=True)
class Cross:
    """Settings of networks that swap their jobs.

    Attributes:
        recording: folder of the real recording.
        track: that it was recorded on.
        epochs: of each training.
        laps: that the expert records in the twin, and that the network of real images drives there.
    """

    recording: Path
    track: str
    epochs: int = 30
    laps: int = 2


def cross_train(
    settings: Cross, images: Shared[list[tuple[Image, Image]]], output: Path, seed: int
) -> dict[str, Any]:
    """Train on real rows and on the twin, and let each network do the other's job; or read the result.

    Args:
        settings: the settings.
        images: real images, each with the twin's of the same pose, shared by all seeds.
        output: folder of all seeds.
        seed: of the trainings and of the expert's noise.

    Returns:
        Correlations with the steering of real rows never trained on, by network; how the network of real
        rows drives in the twin; and how alike it steers on both images of the same pose.
    """
    import gymnasium
    import torch
    from real_images import Rows

    from algorithms import Augmentation
    from algorithms.dagger.replay import replay
    from algorithms.training.config import TrainingConfig
    from algorithms.training.data import Frames
    from algorithms.training.trainer import Training
    from udacity_gym import ENV_ID
    from udacity_gym.evaluation import evaluate

    folder, file = output / f"{seed}", output / f"{seed}.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    torch.set_num_threads(1)
    plain = TrainingConfig(
        epochs=settings.epochs,
        throttle="speed_control",
        loss="mse",
        target_speed=15 * MPH,
        augmentation=Augmentation(shift=0.5, turn=0.02),
        threads=1,
        seed=seed,
    )
    # Humans press keys, so they are smoothed; they wander and come back slowly.
    human = plain.with_options(recovery_time=1.2, balance=0.25)
    rows = Rows.of(settings.recording)
    of_real = Training(human, rows.train.smoothed(1.0), folder=folder / "real").run()
    laps = open_recording(_record_laps(settings, folder / "twin-laps", seed))
    of_twin = Training(plain, Frames.of([laps]), folder=folder / "twin").run()

    truth = rows.test.steering
    truths = {"bends": truth, "all": truth, "smoothed": rows.test.smoothed(1.0).steering}
    chosen = {"bends": np.abs(truth) > BEND, "all": truth == truth, "smoothed": truth == truth}
    result: dict[str, Any] = {"seed": seed, "rows": len(truth)}
    for name, policy in (("real", of_real), ("twin", of_twin)):
        guess = replay(policy, rows.test).actions[:, 0]
        result[name] = {
            which: correlation(guess[chosen[which]], truths[which][chosen[which]]) for which in truths
        }
    ratios = {which: result["twin"][which] / result["real"][which] for which in truths}
    result["ratio"] = ratios
    real, drawn = (np.stack([pair[k] for pair in images.get()]) for k in (0, 1))
    result["one network on both"] = correlation(*(of_real.act(one)[:, 0] for one in (real, drawn)))
    env = gymnasium.make(ENV_ID, track=settings.track, disable_env_checker=True)
    drive = evaluate(of_real, env, laps=settings.laps)
    env.close()
    result["drive"] = drive.summary()
    write_whole(file, json.dumps(result, indent=1) + "\n")
    print(f"seed {seed}: twin over real {', '.join(f'{k} {v:.2f}' for k, v in ratios.items())}", flush=True)
    return result


def _record_laps(settings: Cross, folder: Path, seed: int) -> Path:
    """Record laps of an expert with noise in the twin, unless an earlier run has recorded them all."""
    import gymnasium

    from udacity_gym import ENV_ID
    from udacity_gym.conditions import Randomization
    from udacity_gym.experts import NoisyExpert, PurePursuit
    from udacity_gym.recording import record

    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        env = gymnasium.make(
            ENV_ID, track=settings.track, cameras=CAMERAS, mode="training", disable_env_checker=True,
            conditions=Randomization(exposure=(-0.3, 0.3), jpeg=(60, 90), noise=(0, 4)),
        )  # fmt: skip
        record(env, NoisyExpert(PurePursuit(speed=25 * MPH), seed=seed), part, laps=settings.laps, seed=seed)
        env.close()
        part.rename(folder)
    return folder


def cross_tables(results: Sequence[dict[str, Any]]) -> str:
    """All figures of swapped jobs, means over seeds with 95 % intervals."""

    def mean(values: Sequence[float], digits: int = 2, scale: float = 1.0) -> str:
        return mean_estimate(values).text(digits, scale)

    titles = {
        "bends": f"bends, steering > {BEND}",
        "all": "all rows",
        "smoothed": "all rows, keys smoothed over 1 s",
    }
    rows = [["correlation of steering", "trained on real rows", "trained on the twin", "ratio twin / real"]]
    for which, title in titles.items():
        networks = ("real", "twin", "ratio")
        rows.append([title, *(mean([result[name][which] for result in results]) for name in networks)])
    drives = [result["drive"] for result in results]
    autonomy = mean_estimate([drive["autonomy"] for drive in drives], 0.0, 1.0)
    interventions = ", ".join(str(drive["interventions"]) for drive in drives)
    return "\n".join(
        (
            f"{results[0]['rows']} real rows that neither was trained on, {len(results)} seeds\n",
            table(rows, header=True),
            "\nThe network of real rows",
            f"  steers on real and drawn images of the same poses: correlation "
            f"{mean([result['one network on both'] for result in results])}",
            f"  drives in the twin: autonomy {autonomy.text(1, 100)} %, "
            f"interventions by seed {interventions}",
        )
    )


if __name__ == "__main__":
    main()
