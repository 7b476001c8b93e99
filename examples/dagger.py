"""DAgger with a model as the expert, beside behavioural cloning on as many labels.

A trained network is the expert of another one, which starts from random weights and only steers (Ross,
Gordon & Bagnell 2011). Both methods get the same number of labelled frames in each round, and train the
same network on all frames so far. They differ in who drives while the frames are collected: in cloning the
expert, in DAgger the network itself. After each round the network drives a lap alone. When a wheel crosses
the edge line, the car is put back.

python examples/dagger.py
    the expert is the policy for the lake that comes with the package; a minute and a half on two cores

python examples/dagger.py --expert my-policy
    uses your model as the expert: a checkpoint folder, an ONNX file or a Keras file

It prints departures from the lane per lap, draws them, and checks that the last round of DAgger has fewer
than half of those of the first round, which is a clone. A model drives less steadily than an exact
controller, so its own drives show some of the ways back, and cloning it works nearly as well.
`benchmarks/dagger.py` compares both with an exact expert, whom cloning can't imitate, with seeds and
intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
from matplotlib.figure import Figure

import udacity_gym  # noqa: F401  (registers UdacitySim-v0)
from algorithms import Augmentation, DAgger, Policy, Preprocessing
from udacity_gym.driving import load_policy
from udacity_gym.evaluation import evaluate
from udacity_gym.executors import open_executor
from udacity_gym.experts import PolicyExpert

EXPERT = "pretrained:lake"
SPEED = 12.0
"""m/s that both drive at."""


@dataclass(frozen=True)
class Job:
    """A run of one method; ``beta`` is the schedule of the expert's share, 1 in every round for cloning."""

    method: str
    beta: float | str
    expert: str
    rounds: int
    frames: int
    folder: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run both methods side by side, print, draw and check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expert", default=EXPERT, help="a model, such as the folder of a policy")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, the first one driven by the expert")
    parser.add_argument("--frames", type=int, default=400, help="labelled frames in each round")
    parser.add_argument("--output", type=Path, help="folder to keep everything in")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.output or Path(scratch)
        jobs = [
            Job(method, beta, options.expert, options.rounds, options.frames, folder / method)
            for method, beta in (("cloning", 1.0), ("DAgger", "first_round"))
        ]
        with open_executor(2) as executor:
            results = dict(executor.map(run, jobs))
        departures = {job.method: results[number] for number, job in enumerate(jobs)}
        print_table(departures)
        figure = (options.output or Path()) / "dagger.png"
        plot(departures, figure)
        print(f"The figure is {figure}")
    first, *_, last = departures["DAgger"]
    assert last < 0.5 * first, "DAgger must leave its lane less than half as often as the clone of round 1"


def run(job: Job) -> list[float]:
    """Run a method.

    Returns:
        Departures from the lane per lap after each round.
    """
    expert = PolicyExpert(load_policy(job.expert))
    height, width = expert.image_size
    env = gymnasium.make("UdacitySim-v0", image_size=(height, width))
    learner = DAgger(
        env=env,
        expert=expert,
        beta=job.beta,
        rounds=job.rounds,
        frames=job.frames,
        start={"s": "random", "speed": SPEED},
        preprocessing=Preprocessing(
            camera_size=(height, width),
            crop=(3 * height // 8, 27 * height // 32),  # without sky and bonnet
        ),
        # Plain images, so that whatever the network knows of ways back comes from its data.
        augmentation=Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0),
        side_cameras=0.0,
        balance=0.0,
        throttle="speed_control",
        target_speed=SPEED,
        epochs=3,
        steps_per_epoch=20,
        folder=job.folder,
        seed=0,
        progress=False,
    )
    departures = []
    learner.learn(
        after_round=lambda finished: departures.append(departures_per_lap(learner.policy(finished.round)))
    )
    env.close()
    return departures


def departures_per_lap(policy: Policy) -> float:
    """Evaluate a policy for a lap, and count how often it leaves its lane."""
    env = gymnasium.make("UdacitySim-v0", image_size=policy.image_size)
    evaluation = evaluate(policy, env, laps=1, start={"s": 0.0, "speed": SPEED})
    env.close()
    return float(evaluation.interventions)


def print_table(departures: dict[str, list[float]]) -> None:
    """Print departures from the lane per lap, a row for each round."""
    print(f"{'round':>5}" + "".join(f"{method:>10}" for method in departures))
    for number, row in enumerate(zip(*departures.values(), strict=True), start=1):
        print(f"{number:>5}" + "".join(f"{value:>10.0f}" for value in row))


def plot(departures: dict[str, list[float]], path: Path) -> None:
    """Draw departures from the lane per lap against rounds."""
    figure = Figure(figsize=(6, 4), layout="tight")
    axes: Any = figure.subplots()
    for method, values in departures.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", label=method)
    axes.set(
        xlabel="round",
        ylabel="departures from the lane per lap",
        title="PilotNet with a model as the expert",
        ylim=(0, None),
    )
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
