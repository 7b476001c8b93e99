"""Models that others trained on Udacity's own simulator, judged in the embedded one.

What such a model can do in Udacity's simulator, it should be able to do here. Each Keras model of a folder
drives one lap of each track from the start of the autonomous mode, with the throttle law of its author. It
gets images after JPEG, as Udacity's simulator sends them. When the car's centre leaves the road, it is put
back, and that is a departure:

    python benchmarks/foreign_models.py models --laws benchmarks/foreign_laws.json --output foreign-models

Udacity's simulator casts shadows or not, by the graphics quality that is chosen at its start; a model knows
what its author chose. ``--conditions no_shadows`` draws none.

With --open-loop nothing drives. The poses of a recording of Udacity's simulator are reconstructed (see
`fidelity`), the embedded simulator draws the same poses, and each model steers on both. The table has the
correlation of the two, of all frames and by ranges of s, and a ceiling. The ceiling is the correlation of the
steering on real images with that on the same images, seen from poses that differ as much as the reconstructed
ones are uncertain (offset, heading and pitch, independent for each frame):

    python benchmarks/foreign_models.py models --open-loop recordings/lake --track lake --output compared

``NAME.policy.json`` beside ``NAME.h5`` describes how its author prepared images, see docs/adapters.md. The
file of --laws has throttle laws by the name of the model, ``{"NAME": {"law": "pi", "target_speed": 4.02}}``,
as the "throttle_law" of descriptions has them; a model without one keeps the speed of its description. A file
that can't be read is named, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from alignment import FOCAL, Alignment
from fidelity import add_pose_options, draw_pairs, find_poses
from numpy.typing import NDArray
from proofs import add_output_option, markdown, markdown_row

from algorithms.adapters.keras import SUFFIXES, KerasPolicy, load_keras
from algorithms.training.augment import Geometry, warp
from udacity_gym import ENV_ID
from udacity_gym.conditions import NAMED
from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation import Evaluation, correlation, evaluate
from udacity_gym.files import write_whole
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import Image
from udacity_gym.world.track.track import Track

TRACKS = ("lake", "jungle")
Floats = NDArray[np.float64]


def find_models(folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """The Keras models of a folder, in the order of their names.

    Args:
        folder: the folder.
        names: models to take, without suffix; None takes all.

    Raises:
        SystemExit: There is no model, or one of the names is not there.
    """
    models = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES}
    missing = sorted(set(names or ()) - set(models))
    if missing or not models:
        raise SystemExit(
            f"{folder} has no {', '.join(missing) or 'Keras model'}; it has {', '.join(models) or 'none'}"
        )
    return [path for name, path in models.items() if names is None or name in names]


def load_model(path: Path, laws: Mapping[str, Any]) -> KerasPolicy:
    """Load a model with its description, and with its throttle law if ``laws`` has one."""
    file = path.with_suffix(".policy.json")
    description = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if path.stem in laws:
        description = {**description, "throttle_law": laws[path.stem]}
        description.pop("target_speed", None)
    return load_keras(path, description)


def read_models(paths: Sequence[Path], laws: Mapping[str, Any]) -> Iterator[tuple[str, KerasPolicy]]:
    """Names and models, one after the other; says which files can't be read, and leaves them out."""
    for path in paths:
        model = _read(path, laws)
        if model is not None:
            yield path.stem, model


def _read(path: Path, laws: Mapping[str, Any]) -> KerasPolicy | None:
    try:
        return load_model(path, laws)
    except (UdacityGymError, OSError, ValueError) as error:
        print(f"{path.name} is left out: {error}", file=sys.stderr)
        return None


@dataclass(frozen=True)
class Drive:
    """A lap of a model on a track.

    Attributes:
        model: its name.
        track: name of the track.
        laps: completed laps, 1 or 0.
        departures: s in m where the car left the road or was stuck, in order.
        edge_departures: number of times that a wheel went over the edge line.
        autonomy: share of the time driven without being put back.
        seconds: simulated time.
    """

    model: str
    track: str
    laps: int
    departures: tuple[int, ...]
    edge_departures: int
    autonomy: float
    seconds: float

    @classmethod
    def of(cls, model: str, evaluation: Evaluation) -> Drive:
        """Summarise an evaluation with ``intervene="road"``."""
        departures = tuple(round(item.s) for item in evaluation.incidents if item.intervention)
        return cls(
            model,
            evaluation.track,
            evaluation.laps,
            departures,
            evaluation.edge_departures,
            evaluation.autonomy,
            evaluation.seconds,
        )

    def row(self) -> str:
        """A row of the table."""
        return markdown_row(
            [
                self.model,
                self.track,
                self.laps,
                len(self.departures),
                ", ".join(map(str, self.departures)),
                self.edge_departures,
                f"{self.autonomy:.1%}",
                f"{self.seconds:.0f}",
            ]
        )


TITLES = (
    "model",
    "track",
    "laps",
    "departures",
    "where, s in m",
    "wheels over the line",
    "autonomy",
    "time, s",
)


def drive_lap(
    model: str, policy: KerasPolicy, track: str, conditions: str = "clear", max_seconds: float | None = None
) -> Drive:
    """Drive one lap of a track from the start of the autonomous mode, on images after JPEG."""
    env = gymnasium.make(
        ENV_ID,
        track=track,
        conditions=conditions,
        simulator_options={"jpeg": True},
        disable_env_checker=True,
    )
    try:
        return Drive.of(model, evaluate(policy, env, laps=1, intervene="road", max_seconds=max_seconds))
    finally:
        env.close()


@dataclass(frozen=True)
class Likeness:
    """How alike a model steers on real and on drawn images of the same poses.

    Attributes:
        correlation: of the steering on real images with that on drawn ones.
        ceiling: of the steering on real images with that on the same images moved by the poses' uncertainty.
        frames: number of images.
    """

    correlation: float
    ceiling: float
    frames: int

    @classmethod
    def of(cls, real: Floats, drawn: Floats, moved: Floats) -> Likeness:
        """Compare steering, (n,) each."""
        return cls(correlation(real, drawn), correlation(real, moved), len(real))

    def __str__(self) -> str:
        return f"{self.correlation:.2f} / {self.ceiling:.2f}"


def move(images: Image, aligned: Alignment, rows: Sequence[int], seed: int = 0) -> Image:
    """Move the camera of images as far as their poses are uncertain, by chance.

    Args:
        images: (n, 160, 320, 3) uint8.
        aligned: the poses, with standard deviations.
        rows: (n,) which of the poses the images have.
        seed: of the chance.

    Returns:
        (n, 160, 320, 3) uint8.
    """
    deviation = aligned.deviation[list(rows)]
    _, offset, heading, pitch = (np.random.default_rng(seed).normal(size=deviation.shape) * deviation).T
    maps = Geometry().viewpoint(offset, heading, FOCAL * np.tan(pitch), np.zeros(len(images), bool))
    return warp(images, maps)


def compare(
    policy: KerasPolicy, real: Image, drawn: Image, moved: Image, s: Floats, edges: Floats
) -> list[Likeness]:
    """How alike a model steers: of all images, then of each range of s.

    Args:
        policy: the model.
        real: (n, 160, 320, 3) uint8.
        drawn: the same poses, drawn.
        moved: the real images, moved by the uncertainty of their poses.
        s: (n,) m along the lap.
        edges: (k + 1,) m, ends of the ranges.
    """
    steering = [policy.act(images)[:, 0].clip(-1, 1).astype(np.float64) for images in (real, drawn, moved)]
    parts = [np.ones(len(s), bool)] + [(s >= a) & (s < b) for a, b in pairwise(edges)]
    return [Likeness.of(*(values[part] for values in steering)) for part in parts]


def open_loop(options: argparse.Namespace, models: Sequence[Path]) -> None:
    """Compare each model's steering on real and drawn images; prints a row for each, and their mean."""
    track = Track.load(options.track[0])
    poses = options.output / f"{track.name}-poses.npz"
    episode = open_recording(options.open_loop).episodes[0]
    frames, aligned = find_poses(episode, track, options.start, options.first, poses)
    pairs = draw_pairs(episode, track, frames, aligned, options.every)
    rows = range(0, len(frames), options.every)
    real, drawn = (np.stack([getattr(pair, name) for pair in pairs]) for name in ("real", "drawn"))
    moved = move(real, aligned, rows)
    s = np.array([pair.s for pair in pairs]) % track.length
    edges = np.append(np.arange(0.0, track.length, options.range), track.length)
    used = [k for k in range(len(edges) - 1) if np.any((s >= edges[k]) & (s < edges[k + 1]))]
    deviation = np.median(aligned.deviation, axis=0)
    print(
        f"{track.name}: {len(pairs)} images; median standard deviation of a pose: {deviation[1]:.2f} m "
        f"sideways, {deviation[2]:.4f} rad of heading, {deviation[3]:.4f} rad of pitch"
    )
    print("correlation of steering on real and drawn images / ceiling, by s in m\n")
    print(markdown(["model", "all", *(f"{edges[k]:.0f}-{edges[k + 1]:.0f}" for k in used)]))
    results: list[dict[str, Any]] = []
    for name, model in read_models(models, {}):
        alike, *ranges = compare(model, real, drawn, moved, s, edges)
        print(markdown_row([name, alike, *(ranges[k] for k in used)]), flush=True)
        by_range = {f"{edges[k]:.0f}": vars(ranges[k]) for k in used}
        results.append({"model": name, "track": track.name, **vars(alike), "ranges": by_range})
        save(options.output / f"open-loop-{track.name}.json", results)
    if results:
        mean = (np.mean([result[key] for result in results]) for key in ("correlation", "ceiling"))
        print(markdown_row(["mean", " / ".join(f"{value:.2f}" for value in mean), *("" for _ in used)]))


def drive_laps(options: argparse.Namespace, models: Sequence[Path]) -> None:
    """Let each model drive a lap of each track; prints a row for each."""
    laws = {} if options.laws is None else json.loads(options.laws.read_text(encoding="utf-8"))
    file = "drives.json" if options.conditions == "clear" else f"drives-{options.conditions}.json"
    print(markdown(TITLES))
    results: list[dict[str, Any]] = []
    for name, model in read_models(models, laws):
        for track in options.track:
            lap = drive_lap(name, model, track, options.conditions)
            print(lap.row(), flush=True)
            results.append(vars(lap))
            save(options.output / file, results)


def save(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write what there is so far, so that an interruption loses nothing."""
    write_whole(path, json.dumps(results, indent=1) + "\n")


def main() -> None:
    """Read the command line, then drive or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with Keras models")
    parser.add_argument("--models", nargs="+", help="names of models without suffix; left out: all")
    parser.add_argument("--track", nargs="+", choices=TRACKS, default=list(TRACKS))
    parser.add_argument("--laws", type=Path, help="JSON file with throttle laws by the model's name")
    parser.add_argument("--conditions", choices=list(NAMED), default="clear", help="in which they drive")
    parser.add_argument("--open-loop", type=Path, metavar="RECORDING", help="compare images of a recording")
    add_pose_options(parser, every=4)
    parser.add_argument("--range", type=float, default=200.0, help="m of a range of s")
    add_output_option(parser)
    options = parser.parse_args()
    if options.open_loop is not None and len(options.track) != 1:
        parser.error("--open-loop needs the track of the recording: --track lake or --track jungle")
    if options.open_loop is not None and options.conditions != "clear":
        parser.error("--open-loop compares with a recording, so --conditions must be clear")
    torch.set_num_threads(1)
    models = find_models(options.folder, options.models)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.open_loop is not None:
        open_loop(options, models)
    else:
        drive_laps(options, models)


if __name__ == "__main__":
    main()
