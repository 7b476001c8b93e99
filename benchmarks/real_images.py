"""Learning from real images: this package's cloning against the course's recipe, on held-out rows.

Both learn to steer from the first 80 % of a recording of Udacity's simulator, and both are judged on the last
20 %: row by row, as the keys were pressed, and against the mean of the recorded steering over a second, which
is what a human with two keys means. Two baselines without learning are judged too: the mean of the training
rows, and always zero. Then both drive a lap of the same track in the embedded simulator, steering only.
Neither chooses anything by the last 20 %: ours takes its last epoch. Both see about as many images.

The recipe is the one that repositories of the course share (Keras, 2016 on): PilotNet on YUV images, Adam
at 1e-4, batches of 40, mean squared error; the rows shuffled, four fifths trained on and the best of a few
epochs chosen by the rest; each image through one of the three cameras, 0.2 added to the steering of the
left one and taken from that of the right one; half of the images mirrored. Dropout, which some have,
is left out.

    python benchmarks/real_images.py recordings/lake recordings/jungle --track lake jungle --output real
    python benchmarks/real_images.py recordings/lake --output quick --quick    a minute, checks its outcome

Intervals are 95 % (Student's t) over seeds. It resumes after an interruption.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from proofs import add_executor_options, add_output_option, go_on_with, markdown, side_by_side

from algorithms import Augmentation
from algorithms.base import Floats
from algorithms.dagger.replay import replay
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.training.augment import Geometry
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames, drop_broken_images
from algorithms.training.trainer import Training
from udacity_gym import ENV_ID
from udacity_gym.cli.shared import executor_of
from udacity_gym.evaluation import correlation, evaluate, mean_estimate
from udacity_gym.executors import ExecutorLike
from udacity_gym.files import write_whole
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import MPH

LEARNED = ("ours", "recipe")
TITLES = {
    "ours": "ours",
    "recipe": "published recipe",
    "mean": "mean predictor",
    "zero": "always zero",
}
SMOOTHING = 1.0
"""s over which recorded steering is averaged, as labels for ours and to judge all."""
CORRECTION = 0.2
"""Steering that the recipe adds for images of the left camera."""
PLAIN = Augmentation(flip=0.5, shift=0, turn=0, vertical=0, brightness=0, shadow=0)


@dataclass(frozen=True)
class Args:
    """The proof's settings.

    Attributes:
        speed: m/s that both drive at.
        epochs: of ours; an epoch has as many images as there are rows.
        recipe_epochs: of the recipe; an epoch has three times as many, as each row has three.
        laps: to drive.
        max_seconds: s of simulated time after which driving ends; None allows for all laps.
    """

    speed: float = 15 * MPH
    epochs: int = 20
    recipe_epochs: int = 8
    laps: int = 1
    max_seconds: float | None = None


@dataclass(frozen=True)
class Errors:
    """Of steering, full lock is 1.

    Attributes:
        mae: mean absolute error.
        rmse: root mean square error.
        correlation: with the truth; 0 for a guess that never changes.
    """

    mae: float
    rmse: float
    correlation: float

    @classmethod
    def of(cls, guess: Floats, truth: Floats) -> Errors:
        """Compare guesses with the truth, both (n,)."""
        error = guess - truth
        likeness = float(np.nan_to_num(correlation(guess, truth)))
        return cls(float(np.abs(error).mean()), float(np.sqrt((error**2).mean())), likeness)


@dataclass(frozen=True)
class Rows:
    """A recording, split in time.

    Attributes:
        train: the first 80 % but for the last 2 s of them, steering as recorded.
        test: the last 20 %.
    """

    train: Frames
    test: Frames

    @classmethod
    def of(cls, recording: Path) -> Rows:
        """Read and split a recording, without rows whose images are broken."""
        usable, _ = drop_broken_images(open_recording(recording), progress=False)
        return cls(*Frames.of([usable]).split(0.2, gap=2.0))

    def judge(self, guess: Floats) -> dict[str, dict[str, float]]:
        """Errors of (n,) steering on the rows never trained on, by what it is compared with."""
        truths = {"by_row": self.test.steering, "smoothed": self.test.smoothed(SMOOTHING).steering}
        return {name: asdict(Errors.of(guess, truth)) for name, truth in truths.items()}


def train_ours(rows: Rows, args: Args, seed: int, folder: Path) -> NetworkPolicy:
    """Our learner, with the settings of ``examples/behavioral_cloning_from_log.py``."""
    config = TrainingConfig(
        epochs=args.epochs,
        loss="mse",  # what is pressed hard counts most: it is a bend
        recovery_time=0.8,  # humans come back to the middle slowly,
        augmentation=Augmentation(shift=0.3, turn=0.1),  # and hardly ever point away from the road
        balance=0.25,
        throttle="speed_control",
        target_speed=args.speed,
        threads=1,
        seed=seed,
    )
    return Training(config, rows.train.smoothed(SMOOTHING), folder=folder).run()


def train_recipe(rows: Rows, args: Args, seed: int, folder: Path) -> NetworkPolicy:
    """The course's recipe, see above."""
    config = TrainingConfig(
        epochs=args.recipe_epochs,
        batch_size=40,
        learning_rate=1e-4,
        schedule="constant",
        loss="mse",
        side_cameras=2 / 3,
        geometry=constant_correction(CORRECTION),
        augmentation=PLAIN,
        balance=0.0,
        throttle="speed_control",
        target_speed=args.speed,
        threads=1,
        seed=seed,
    )
    # It knows no speed: rows in which the car stands count as all others, and corrections are the same.
    every = replace(rows.train, speed=np.ones_like(rows.train.speed))
    shuffled = np.random.default_rng(seed).permutation(len(every))
    cut = round(0.8 * len(every))
    train, validation = every.select(np.sort(shuffled[:cut])), every.select(np.sort(shuffled[cut:]))
    config = config.with_options(steps_per_epoch=-(-3 * len(train) // config.batch_size))
    return Training(config, train, validation, folder=folder).run()


def constant_correction(steering: float) -> Geometry:
    """A geometry whose side cameras are corrected by this steering, and that mirrors about the middle.

    Its side cameras stand where coming back over the least distance takes just that.
    """
    plain = Geometry(vanishing_point=(159.5, 60.8), roll=0.0)
    distance = TrainingConfig().recovery_distance
    aside = math.tan(steering * plain.max_steering) * distance**2 / (2 * plain.wheelbase)
    return replace(plain, camera_offsets=(("center", 0.0), ("left", -aside), ("right", aside)))


def drive(policy: NetworkPolicy, track: str, args: Args) -> dict[str, Any]:
    """Figures of a drive from the start of the autonomous mode."""
    env = gym.make(ENV_ID, track=track, disable_env_checker=True)
    try:
        return evaluate(policy, env, laps=args.laps, max_seconds=args.max_seconds).summary()
    finally:
        env.close()


@dataclass(frozen=True)
class Job:
    """One training, and its judgement.

    Attributes:
        recording: folder with a ``driving_log.csv``.
        track: that it was recorded on.
        name: "ours" or "recipe".
        seed: of the training.
        folder: folder of trainings and results.
    """

    recording: Path
    track: str
    name: str
    seed: int
    folder: Path

    @property
    def path(self) -> Path:
        """Path of the training's files, without suffix."""
        return self.folder / f"{self.recording.name}-{self.track}" / f"{self.name}-{self.seed}"


def work(args: Args, job: Job) -> tuple[dict[str, Any], bool]:
    """Train, judge and drive, or read the saved result; returns the result and whether it is new."""
    torch.set_num_threads(1)
    result = job.path.with_suffix(".json")
    if result.exists():
        return json.loads(result.read_text()), False
    rows = Rows.of(job.recording)
    train = train_ours if job.name == "ours" else train_recipe
    policy = train(rows, args, job.seed, job.path)
    row = {
        "recording": job.recording.name,
        "track": job.track,
        "name": job.name,
        "seed": job.seed,
        **rows.judge(replay(policy, rows.test).actions[:, 0]),
        "drive": drive(policy, job.track, args),
    }
    write_whole(result, json.dumps(row, indent=1))
    return row, True


def run(
    recordings: Sequence[Path],
    tracks: Sequence[str],
    seeds: int,
    folder: Path,
    args: Args,
    executor: ExecutorLike = 1,
) -> list[dict[str, Any]]:
    """Train, judge and drive all jobs that are not done yet.

    Args:
        recordings: folders with a ``driving_log.csv``.
        tracks: the track of each.
        seeds: trainings of each kind.
        folder: folder of trainings and results.
        args: settings; those of an interrupted run must be the same.
        executor: who trains, see `udacity_gym.executors.open_executor`.

    Returns:
        One row for each recording, seed and way of steering.
    """
    go_on_with(folder, asdict(args))
    jobs = [
        Job(recording, track, name, seed, folder)
        for recording, track in zip(recordings, tracks, strict=True)
        for seed in range(seeds)
        for name in LEARNED
    ]
    results: dict[Job, dict[str, Any]] = {}
    for job, (row, new) in side_by_side(partial(work, args), jobs, executor):
        results[job] = row
        if new:
            print(describe(row), flush=True)
    return [
        row
        for recording in recordings
        for row in [*(results[job] for job in jobs if job.recording == recording), *constants(recording)]
    ]


def constants(recording: Path) -> list[dict[str, Any]]:
    """Judge the baselines without learning on a recording."""
    rows = Rows.of(recording)
    return [
        {
            "recording": recording.name,
            "name": name,
            "seed": 0,
            **rows.judge(np.full(len(rows.test), value, np.float32)),
        }
        for name, value in (("mean", float(rows.train.steering.mean())), ("zero", 0.0))
    ]


def describe(row: dict[str, Any]) -> str:
    """A result in one line."""
    drove, smoothed, by_row = row["drive"], row["smoothed"]["rmse"], row["by_row"]["rmse"]
    return (
        f"{row['recording']}, {row['name']}, seed {row['seed']}: "
        f"RMSE {smoothed:.4f} smoothed, {by_row:.4f} by row; {drove['distance']:.0f} m, "
        f"{drove['interventions']} interventions, autonomy {drove['autonomy']:.1%}"
    )


def tables(results: Sequence[dict[str, Any]]) -> str:
    """All figures in Markdown, means over seeds with 95 % intervals: errors and driving."""
    errors = {
        "MAE by row": ("by_row", "mae"),
        "RMSE by row": ("by_row", "rmse"),
        "MAE smoothed": ("smoothed", "mae"),
        "RMSE smoothed": ("smoothed", "rmse"),
        "correlation smoothed": ("smoothed", "correlation"),
    }
    driven = {
        "autonomy, %": ("autonomy", 1.0, 1, 100),
        "interventions": ("interventions", math.inf, 1, 1),
        "mean \\|cte\\|, m": ("mean_abs_cte", math.inf, 2, 1),
        "over 1 m off": ("reference_departures", math.inf, 1, 1),
    }
    first: list[list[str]] = []
    second: list[list[str]] = []
    for recording in dict.fromkeys(row["recording"] for row in results):
        for name, title in TITLES.items():
            rows = [row for row in results if (row["recording"], row["name"]) == (recording, name)]
            cells = [
                mean_estimate([row[truth][error] for row in rows], -1, math.inf).text(3)
                for truth, error in errors.values()
            ]
            first.append([recording, title, *cells])
            if name in LEARNED:
                cells = [
                    mean_estimate([row["drive"][what] for row in rows], 0, most).text(digits, scale)
                    for what, most, digits, scale in driven.values()
                ]
                second.append([recording, title, *cells])
    common = ("recording", "steering")
    return markdown([*common, *errors], first) + "\n\n" + markdown([*common, *driven], second)


def main() -> None:
    """Read the command line, learn, judge, drive."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, nargs="+", help="folders with a driving_log.csv")
    parser.add_argument("--track", nargs="+", default=["lake"], help="the track of each recording")
    add_output_option(parser)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--speed", type=float, default=Args.speed / MPH, help="mph that both drive at")
    parser.add_argument("--epochs", type=int, default=Args.epochs, help="of ours")
    parser.add_argument("--recipe-epochs", type=int, default=Args.recipe_epochs, help="of the recipe")
    add_executor_options(parser)
    parser.add_argument("--quick", action="store_true", help="few epochs, seconds of driving")
    options = parser.parse_args()
    if len(options.track) != len(options.recordings):
        parser.error(f"{len(options.recordings)} recordings, but --track names {len(options.track)} tracks")
    args = Args(
        speed=options.speed * MPH,
        epochs=options.epochs,
        recipe_epochs=options.recipe_epochs,
    )
    if options.quick:
        options.seeds = 1
        args = replace(args, epochs=7, recipe_epochs=3, max_seconds=15.0)
    results = run(
        options.recordings, options.track, options.seeds, options.output, args, executor_of(options)
    )
    output = {"settings": asdict(args), "seeds": options.seeds, "rows": results}
    write_whole(options.output / "real-images.json", json.dumps(output, indent=1) + "\n")
    print(f"\n{tables(results)}")
    if options.quick:
        check(results)


def check(results: Sequence[dict[str, Any]]) -> None:
    """Check that ours has learned to steer by the images, as far as possible in such a short training.

    Raises:
        SystemExit: It has not.
    """
    named = {row["name"]: row for row in results if row["seed"] == 0}
    for other in ("mean", "recipe"):
        ours, theirs = named["ours"]["by_row"]["rmse"], named[other]["by_row"]["rmse"]
        if not ours < theirs:
            raise SystemExit(f"RMSE by row {ours:.4f} is not less than that of the {other}, {theirs:.4f}")
    correlation = named["ours"]["smoothed"]["correlation"]
    if not correlation > 0.4:
        raise SystemExit(f"steering has the correlation {correlation:.2f} with the driver's, not above 0.4")


if __name__ == "__main__":
    main()
