"""How much the twin looks like the simulator it imitates: real recordings against their re-rendered poses.

    python benchmarks/fidelity.py path/to/recording --track lake --output fidelity
    python benchmarks/fidelity.py path/to/recording --track jungle --start 955 2.5 0.4 --output fidelity
    python benchmarks/fidelity.py path/to/recording --track lake --cross --output fidelity

Reconstructs the poses of a recording (see `alignment`), draws the same poses, and
reports, per region of the image, mean colour and spread of both, how far the lines found in
either lie from where the track has them, and how alike one network steers on both. With --cross it
trains two networks, one on the recording and one on an expert's laps in the twin, and lets each do
the other's job. Sheets of images side by side, the poses and the figures go to the output folder.

Recordings of others may carry no licence: keep the sheets to yourself.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from alignment import FOCAL, Aligner, Alignment, dead_reckon
from numpy.typing import NDArray

from udacity_gym.recording import open_recording
from udacity_gym.recording.images import decode_image, encode_jpeg
from udacity_gym.sensors import Label
from udacity_gym.telemetry import Image
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.track.track import Track

STARTS = {"lake": (0.0, 0.46, 0.0), "jungle": (0.0, 2.5, 0.0)}
"""s, offset and heading error of training mode's start."""
SPREAD = (2.0, 0.6, 0.15)
"""How far off a start may be: m, m, rad."""
REGIONS = {
    "lake": {
        "asphalt": (-2.8, -1.8, -0.8, 0.8, 1.8, 2.8),
        "line": (-3.84, -3.43, 3.43, 3.84),
        "kerb": (-5.1, -4.9, 4.9, 5.1),
        "verge": (-8.0, -7.0, -6.3, 6.3, 7.0, 8.0),
    },
    "jungle": {
        "asphalt": (-3.6, -2.4, -1.2, 1.2, 2.4, 3.6),
        "line": (-4.6, 4.6),
        "verge": (-6.2, -5.6, -5.2, 5.2, 5.6, 6.2),
    },
}
"""m right of the centre line where each region of the road is sampled, by track."""
SKY, LAND = "sky", "terrain"
SHADE = 85.0
"""Brightness below which asphalt lies in the shade: the jungle's is 40 to 60 there, above 120 in the sun."""
SUN = 105.0
"""Brightness above which asphalt lies in the sun."""
TINTS = np.array([side * (0.375 + 0.25 * k) for side in (-1, 1) for k in range(16)])
TINTS.sort()
"""m right of the centre line where the tint of the asphalt is measured; closer to it there is a line."""
ROWS = ((64, 84), (84, 108), (108, 136))
"""Ranges of image rows in which the asphalt is compared, far to near."""
ANGLES = (0, 20, 40, 60, 90, 180)
"""Degrees between the directions of view and to the sun, seen from above: limits of the ranges compared."""
GRAIN = 4.0
"""px, deviation of the Gaussian that removes what is not grain."""


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
    parser.add_argument(
        "--start", type=float, nargs=3, metavar=("S", "OFFSET", "HEADING_ERROR"),
        help="m, m and rad of the first frame; left out: training mode's start",
    )  # fmt: skip
    parser.add_argument("--first", type=int, default=0, help="frame to begin with, at --start")
    parser.add_argument("--every", type=int, default=20, help="frames between two that are compared")
    parser.add_argument(
        "--skip", type=int, nargs=2, metavar=("FROM", "TO"), default=(0, 0),
        help="frames of the log that are not compared, because their poses are wrong",
    )  # fmt: skip
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--cross", action="store_true", help="train networks and swap their jobs")
    parser.add_argument("--epochs", type=int, default=30, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("fidelity"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    track = Track.load(options.track)
    recording = open_recording(options.recording)
    episode = recording.episodes[0]
    poses = options.output / f"{options.track}-poses.npz"
    if poses.exists():
        frames, aligned = load_poses(poses)
    else:
        start = options.start or STARTS[options.track]
        frames, aligned = reconstruct(episode, track, start, options.first, options.particles, options.seed)
        save_poses(poses, frames, aligned)
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
        figures["cross"] = cross_train(options, pairs)
    text = json.dumps(figures, indent=1)
    (options.output / f"{options.track}-figures.json").write_text(text, encoding="utf-8")


def reconstruct(
    episode: Any, track: Track, start: tuple[float, float, float], first: int, particles: int, seed: int
) -> tuple[list[int], Alignment]:
    """Align an episode; looks at every fourth frame first, then at all."""
    aligner = Aligner(track)
    driven, turned = dead_reckon(episode.time, episode.steering, episode.speed)

    def image(k: int) -> Image:
        return np.asarray(episode.image("center", k))

    some = list(range(first, len(episode), 4))
    rough = aligner.follow(
        image, some, driven, turned, np.array(start), np.array(SPREAD), particles=particles, seed=seed
    )
    frames = list(range(first, some[-1] + 1))
    expected = np.stack([np.interp(frames, some, rough[:, c]) for c in range(3)], axis=1)
    return frames, aligner.smooth(image, frames, driven, turned, expected)


def save_poses(path: Path, frames: list[int], aligned: Alignment) -> None:
    """Keep poses."""
    np.savez(path, frames=frames, **aligned._asdict())


def load_poses(path: Path) -> tuple[list[int], Alignment]:
    """Read poses kept before."""
    with np.load(path) as kept:
        return kept["frames"].tolist(), Alignment(*(kept[name] for name in Alignment._fields))


def draw_pairs(episode: Any, track: Track, frames: list[int], aligned: Alignment, every: int) -> list[Pair]:
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


def compare_regions(
    pairs: list[Pair], track: Track, frames: list[int], aligned: Alignment
) -> dict[str, dict[str, Any]]:
    """Mean colour and spread (standard deviation of brightness) by region, real and drawn."""
    aligner = Aligner(track)
    ahead = np.arange(4.0, 18.0, 0.5)
    samples: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for pair in pairs:
        i = frames.index(pair.frame)
        state = np.array([[aligned.s[i], aligned.offset[i], aligned.heading_error[i], aligned.pitch[i]]])
        for name, offsets in REGIONS[track.name].items():
            shape = (1, len(offsets), len(ahead))
            s = np.broadcast_to(state[0, 0] + ahead, shape)
            column, row, depth = aligner.project(state, s, np.broadcast_to(np.array(offsets)[:, None], shape))
            rising = np.minimum.accumulate(row, axis=2) >= row - 1e-9
            visible = (depth > 1) & (column > 1) & (column < 318) & (row > 40) & (row < 134) & rising
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
    track's own tint.

    Returns:
        Rows of offset in m and factors of red, green and blue.
    """
    aligner = Aligner(track)
    ahead = np.arange(3.0, 14.0, 0.25)
    sums = np.zeros((2, 2, len(TINTS), 3))  # sun and shade, real and drawn
    shape = (1, len(TINTS), len(ahead))
    at = np.broadcast_to(TINTS[:, None], shape)
    for pair in pairs:
        i = frames.index(pair.frame)
        state = np.array([[aligned.s[i], aligned.offset[i], aligned.heading_error[i], aligned.pitch[i]]])
        column, row, depth = aligner.project(state, np.broadcast_to(state[0, 0] + ahead, shape), at)
        rising = np.minimum.accumulate(row, axis=2) >= row - 1e-9
        visible = (depth > 1) & (column > 1) & (column < 318) & (row > 40) & (row < 134) & rising
        pixel = (np.round(row[visible]).astype(int), np.round(column[visible]).astype(int))
        colours = np.stack([image[pixel].astype(np.float64) for image in (pair.real, pair.drawn)])
        light = colours.mean(axis=2)
        asphalt = (pair.labels[pixel] == Label.ROAD) | (pair.labels[pixel] == Label.LANE_MARKING)
        which = np.nonzero(visible)[1]
        for k, alike in enumerate(((light > SUN).all(axis=0), (light < SHADE).all(axis=0))):
            for image in range(2):
                np.add.at(sums[k, image], which[alike & asphalt], colours[image, alike & asphalt])
    seen = (sums > 0).all(axis=(1, 3))[..., None]
    ratio = np.log(np.where(seen, sums[:, 0], 1.0) / np.where(seen, sums[:, 1], 1.0))
    before = np.ones((len(TINTS), 3))
    if track.file.road.tint:
        offsets, *channels = np.array(track.file.road.tint).T
        before = np.stack([np.interp(TINTS, offsets, channel) for channel in channels], axis=1)
    factors = before * np.exp(ratio.sum(axis=0) / np.maximum(seen.sum(axis=0), 1))
    return [(float(d), *map(float, rgb.round(3))) for d, rgb in zip(TINTS, factors, strict=True)]


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


def cross_train(options: Any, pairs: list[Pair]) -> dict[str, Any]:
    """Train on the recording and on the twin; evaluate each network on the other data."""
    import gymnasium

    from algorithms import Augmentation, BehavioralCloning
    from udacity_gym import ENV_ID
    from udacity_gym.conditions import Randomization
    from udacity_gym.evaluation import evaluate
    from udacity_gym.experts import NoisyExpert, PurePursuit
    from udacity_gym.recording import record
    from udacity_gym.telemetry import CAMERAS, MPH

    def learn(source: Any, folder: str, **settings: Any) -> tuple[Any, Any]:
        learner = BehavioralCloning(
            source, seed=options.seed, epochs=options.epochs, throttle="speed_control", loss="mse",
            target_speed=15 * MPH, **settings,
        )  # fmt: skip
        policy = learner.learn()
        policy.save(options.output / folder)
        return learner, policy

    # Humans press keys: smooth them; they wander and come back slowly.
    human_settings = {
        "smoothing": 1.0, "recovery_time": 1.2, "balance": 0.25,
        "augmentation": Augmentation(shift=0.5, turn=0.02),
    }  # fmt: skip
    learner, of_real = learn(options.recording, f"{options.track}-policy-real", **human_settings)
    held_out = learner.validation_frames
    images = [held_out.image(row, "center") for row in range(len(held_out))]
    truth = np.asarray(held_out.recorded_steering)
    smooth = np.asarray(held_out.steering)

    laps = options.output / f"{options.track}-twin-laps"
    if not laps.exists():
        env = gymnasium.make(
            ENV_ID, track=options.track, cameras=CAMERAS, mode="training",
            conditions=Randomization(exposure=(-0.3, 0.3), jpeg=(60, 90), noise=(0, 4)),
        )  # fmt: skip
        expert = NoisyExpert(PurePursuit(speed=25 * MPH), seed=options.seed)
        record(env, expert, laps, laps=2, seed=options.seed)
        env.close()
    _, of_twin = learn(laps, f"{options.track}-policy-twin", augmentation=Augmentation(shift=0.5, turn=0.02))

    def steer(policy: Any, inputs: list[Image]) -> NDArray[np.float64]:
        return np.array([policy.predict(image)[0][0] for image in inputs], np.float64)

    env = gymnasium.make(ENV_ID, track=options.track)
    drive = evaluate(of_real, env, laps=2)
    env.close()
    print(drive)
    guesses = {"trained on real": steer(of_real, images), "trained on the twin": steer(of_twin, images)}
    results: dict[str, Any] = {
        "real drives twin": {
            "laps_without_intervention": drive.laps_without_intervention,
            "autonomy": round(float(drive.autonomy), 3),
            "incidents": len(drive.incidents),
        },
        "held-out rows": len(truth),
        "one network on both": _correlation(
            steer(of_real, [p.real for p in pairs]), steer(of_real, [p.drawn for p in pairs])
        ),
    }
    bend = np.abs(truth) > 0.05
    for name, guess in guesses.items():
        results[name] = {
            "correlation": _correlation(guess, truth),
            "correlation with keys smoothed": _correlation(guess, smooth),
            "correlation in bends": _correlation(guess[bend], truth[bend]),
            "MAE in bends": round(float(np.abs(guess - truth)[bend].mean()), 4),
        }
        print(name, results[name])
    ratio = results["trained on the twin"]["correlation"] / results["trained on real"]["correlation"]
    results["ratio"] = round(ratio, 3)
    print(f"one network on real and drawn images: correlation {results['one network on both']}")
    print(f"twin-trained over real-trained: {ratio:.2f}")
    return results


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return round(float(np.corrcoef(a, b)[0, 1]), 3) if len(a) > 2 and np.ptp(a) > 0 else math.nan


if __name__ == "__main__":
    main()
