"""ACT and a Gaussian mixture beside PilotNet, and float32 beside bfloat16, judged by driving on both tracks.

An expert drives a lap at a constant speed, with noise on its steering whose corrections it records (the noise
is executed, its own steering is the label). Each policy learns the same lap: PilotNet with the Huber loss;
PilotNet with a Gaussian mixture (`GaussianMixture`, the head of robomimic); ACT, a transformer that predicts
chunks of actions and drives by temporal ensembling, also with three times the training; PilotNet with chunks,
to tell the network from the chunks. Then it drives a lap from the start; a controller keeps the speed. Means
and 95 % intervals are over the seeds of the trainings; two precisions are compared seed by seed.

Each run is kept in the output folder, so that the same command continues after an interruption, and more
seeds, methods or precisions add to those that are there. A run computes in one thread.

    python benchmarks/policies.py --output policies
    python benchmarks/policies.py --output policies --methods PilotNet ACT --precision float32 bfloat16
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from proofs import add_executor_options, add_output_option, go_on_with, markdown, side_by_side

from algorithms import BehavioralCloning
from algorithms.policies.device import Precision, find_device, quickest_precision
from udacity_gym import ENV_ID
from udacity_gym.cli.shared import executor_of
from udacity_gym.evaluation import Estimate, evaluate, mean_estimate
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.files import replacing, write_whole
from udacity_gym.recording import open_recording, record
from udacity_gym.telemetry import CAMERAS

SPEED = {"lake": 12.0, "jungle": 9.0}
"""m/s of the expert on each track."""
NOISE = Noise.of(0.1, correlation=0.6)
"""Noise on the expert's steering."""
CHUNK = 8
"""Actions of a chunk, half a second."""
STEPS = 18
"""Batches of an epoch, so that all policies see as many images on both tracks: 13,824 in 12 epochs."""
LONG = 3
"""Times as many epochs of "ACT, long"."""
METHODS: dict[str, dict[str, Any]] = {
    "PilotNet": {},
    "PilotNet, gmm": {"loss": "gmm"},
    "PilotNet, chunks": {"loss": "mae", "chunk_size": CHUNK},
    "ACT": {"network": "ACT", "loss": "mae", "chunk_size": CHUNK},
    "ACT, long": {"network": "ACT", "loss": "mae", "chunk_size": CHUNK},
}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


class Measure(NamedTuple):
    """A column of the tables: its title, the decimals and the factor to show it with, its greatest value."""

    title: str
    digits: int
    scale: float = 1.0
    highest: float = float("inf")


MEASURES = {
    "autonomy": Measure("autonomy, %", 1, 100, 1.0),
    "interventions": Measure("interventions", 1),
    "mean_cte": Measure("mean abs. cte, m", 2),
    "jerk": Measure("change of steering per step", 3),
    "steering_mae": Measure("held-out error", 3),
    "seconds": Measure("training, s", 0),
}


def settings_with(epochs: int) -> dict[str, Any]:
    """All settings that the results depend on, without those of a `Job`."""
    return {
        "epochs": epochs,
        "steps": STEPS,
        "long": LONG,
        "speed": SPEED,
        "noise": asdict(NOISE),
        "methods": METHODS,
        "device": find_device().type,
    }


class Job(NamedTuple):
    """A training and its drive."""

    track: str
    method: str
    precision: Precision
    seed: int

    def __str__(self) -> str:
        return ", ".join((self.track, self.method, self.precision, f"seed {self.seed}"))

    def path(self, output: Path) -> Path:
        """File of the results."""
        return output / "runs" / f"{'-'.join(map(str, self)).replace(', ', '-')}.json"


def demonstrate(track: str, folder: Path) -> None:
    """Record a lap of the expert with noise, unless it exists."""
    if (folder / "done").exists():
        return
    env = gymnasium.make(ENV_ID, track=track, cameras=CAMERAS, mode="training")
    expert = NoisyExpert(PurePursuit(track, speed=SPEED[track]), NOISE)
    with replacing(folder / "done"):
        record(env, expert, folder / "lap", laps=1, seed=0, append=False)
    env.close()


def train_and_drive(output: Path, epochs: int, job: Job) -> dict[str, float]:
    """Train a policy and drive a lap with it; the results are kept."""
    torch.set_num_threads(1)
    recording = open_recording(output / job.track / "lap")
    begin = time.perf_counter()
    learner = BehavioralCloning(
        recording,
        seed=job.seed,
        epochs=epochs * (LONG if job.method.endswith("long") else 1),
        steps_per_epoch=STEPS,
        throttle="speed_control",
        precision=job.precision,
        threads=1,
        progress=False,
        **METHODS[job.method],
    )
    policy = learner.learn()
    seconds = time.perf_counter() - begin
    env = gymnasium.make(ENV_ID, track=job.track)
    drive = evaluate(policy, env, laps=1, seed=job.seed)
    env.close()
    results = {
        "autonomy": drive.autonomy,
        "interventions": drive.interventions,
        "mean_cte": drive.mean_abs_cte,
        "jerk": float(np.abs(np.diff(drive.trajectory.steering)).mean()),
        "steering_mae": min(epoch.steering_mae or 1.0 for epoch in learner.epoch_log),
        "seconds": seconds,
    }
    write_whole(job.path(output), json.dumps(results, indent=1) + "\n")
    return results


def load(output: Path, job: Job) -> dict[str, float]:
    """Read the results of a job."""
    results: dict[str, float] = json.loads(job.path(output).read_text())
    return results


def table(names: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[Estimate]]]) -> str:
    """A table of estimates in Markdown, with other cells before them."""
    return markdown(
        [*names, *(m.title for m in MEASURES.values())],
        [
            [*cells, *(e.text(m.digits, m.scale) for e, m in zip(estimates, MEASURES.values(), strict=True))]
            for cells, estimates in rows
        ],
    )


def means(output: Path, runs: Sequence[Job]) -> list[Estimate]:
    """Mean and interval of each measure over jobs that differ by their seeds."""
    results = [load(output, job) for job in runs]
    return [mean_estimate([r[name] for r in results], 0.0, m.highest) for name, m in MEASURES.items()]


def differences(output: Path, pairs: Sequence[tuple[Job, Job]]) -> list[Estimate]:
    """Mean and interval of the second job's results less the first one's, pair by pair."""
    results = [(load(output, first), load(output, second)) for first, second in pairs]
    return [mean_estimate([second[name] - first[name] for first, second in results]) for name in MEASURES]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the runs that are missing, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output_option(parser)
    parser.add_argument("--tracks", nargs="+", default=list(SPEED), choices=SPEED)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    quickest = quickest_precision(find_device())
    parser.add_argument("--precision", nargs="+", default=[quickest], choices=PRECISIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--epochs", type=int, default=12)
    add_executor_options(parser)
    options = parser.parse_args(arguments)
    output = options.output
    go_on_with(output, settings_with(options.epochs))
    for track in options.tracks:
        demonstrate(track, output / track)
    by_seed = product(options.seeds, options.tracks, options.methods, options.precision)
    jobs = [Job(track, method, precision, seed) for seed, track, method, precision in by_seed]
    missing = [job for job in jobs if not job.path(output).exists()]
    work = partial(train_and_drive, output, options.epochs)
    for number, (job, results) in enumerate(side_by_side(work, missing, executor_of(options)), 1):
        figures = ", ".join(f"{name} {value:.3g}" for name, value in results.items())
        print(f"{number} of {len(missing)}: {job}: {figures}", flush=True)
    rows = [
        (case, means(output, [Job(*case, seed) for seed in options.seeds]))
        for case in product(options.tracks, options.methods, options.precision)
    ]
    print(f"\nMeans [95 % intervals] of {len(options.seeds)} seeds\n")
    print(table(["track", "policy", "precision"], rows))
    first, *others = options.precision
    for other in others:
        pairs = {
            (track, method): [
                (Job(track, method, first, seed), Job(track, method, other, seed)) for seed in options.seeds
            ]
            for track, method in product(options.tracks, options.methods)
        }
        print(f"\n{other} less {first}, paired by seed\n")
        print(table(["track", "policy"], [(case, differences(output, pairs[case])) for case in pairs]))


if __name__ == "__main__":
    main()
