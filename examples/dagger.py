"""DAgger with a model as the expert, beside behavioural cloning on as many labels.

A trained network is the expert of a linear controller that steers (Ross, Gordon & Bagnell 2011). Both methods
get the same number of labelled frames in each round, and train the same controller on all frames so far. They
differ in who drives while the frames are collected: in cloning the expert, in DAgger the controller itself.
After each round the controller drives a lap alone. A fall is a departure from the road; the car is then put
back.

A model drives less steadily than an exact controller, so its own drives show some of the ways back, and
cloning it works nearly as well as DAgger. `benchmarks/dagger.py` makes the same comparison with an exact
expert, whom cloning can't imitate.

python examples/dagger.py
    trains an expert first, in a minute and a half; two minutes and a half on two cores

python examples/dagger.py --expert my-policy
    uses your model as the expert: a checkpoint folder, an ONNX file or a Keras file

It prints falls per lap, draws them, and checks that DAgger falls less and less often.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

import udacity_gym  # noqa: F401  (registers UdacitySim-v0)
from algorithms import NETWORKS, Augmentation, DAgger, Policy, Preprocessing
from udacity_gym.driving import load_policy
from udacity_gym.evaluation import evaluate
from udacity_gym.executors import open_executor
from udacity_gym.experts import PolicyExpert, Racing

SPEED = 13.0
"""m/s that the expert and the controller drive at."""
OFFSET = 3.8
"""m from the reference line within which the expert's racing line stays: a metre from the edge of the road.
On the middle of this wide road even a clone would not fall."""
IMAGE_SIZE = (80, 160)


class LinearController(nn.Module):
    """Linear regression on thumbnails of 24x64 pixels, the controller of Ross et al. 2011, section 5.1."""

    input_size = (24, 64)

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 64, outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, 24, 64) normalised images to (n, outputs)."""
        out: Tensor = self.layers(images)
        return out


NETWORKS.register("LinearController", LinearController)


@dataclass(frozen=True)
class Job:
    """A run of one method; ``beta`` is the schedule of the expert's share, 1 in every round for cloning."""

    method: str
    beta: float | str
    expert: Path
    rounds: int
    frames: int
    folder: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run both methods side by side, print, draw and check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expert", type=Path, help="a model; without one, an expert is trained first")
    parser.add_argument("--rounds", type=int, default=8, help="rounds, the first one driven by the expert")
    parser.add_argument("--frames", type=int, default=200, help="labelled frames in each round")
    parser.add_argument("--output", type=Path, help="folder to keep everything in")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.output or Path(scratch)
        expert = options.expert or train_expert(folder / "expert")
        jobs = [
            Job(method, beta, expert, options.rounds, options.frames, folder / method)
            for method, beta in (("cloning", 1.0), ("DAgger", "first_round"))
        ]
        with open_executor(2) as executor:
            results = dict(executor.map(run, jobs))
        falls = {job.method: results[number] for number, job in enumerate(jobs)}
        print_table(falls)
        figure = (options.output or Path()) / "dagger.png"
        plot(falls, figure)
        print(f"The figure is {figure}")
    first, last = np.mean(falls["DAgger"][:2]), np.mean(falls["DAgger"][-2:])
    assert last < 0.5 * first, "DAgger must fall less often from round to round"


def train_expert(folder: Path) -> Path:
    """Train a PilotNet to follow a racing line, by three rounds of DAgger with a built-in expert.

    An expert must know the way back from places where others get to, so clean laps are not enough.

    Returns:
        The checkpoint of the policy.
    """
    env = gymnasium.make("UdacitySim-v0", image_size=IMAGE_SIZE)
    policy = DAgger(
        env=env,
        expert=Racing(speed=SPEED, within=OFFSET),
        rounds=3,
        frames=900,
        epochs=3,
        start={"s": "random", "offset": (-2.5, 2.5), "speed": SPEED},
        preprocessing=Preprocessing(camera_size=IMAGE_SIZE, crop=(30, 68)),
        augmentation=Augmentation(flip=0.0),  # the line is on one side of the road
        side_cameras=0.0,
        throttle="speed_control",
        target_speed=SPEED,
        loss="mse",
        seed=0,
        progress=False,
    ).learn()
    env.close()
    print(f"The expert, a model, falls {falls_per_lap(policy):.0f} times per lap")
    return policy.save(folder / "policy")


def run(job: Job) -> list[float]:
    """Run a method.

    Returns:
        Falls per lap after each round.
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
        network="LinearController",
        preprocessing=Preprocessing(
            camera_size=(height, width),
            crop=(3 * height // 8, 17 * height // 20),  # without sky and bonnet
            size=(24, 64),
        ),
        augmentation=Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0),
        side_cameras=0.0,
        balance=0.0,
        throttle="speed_control",
        target_speed=SPEED,
        loss="mse",
        folder=job.folder,
        seed=0,
        progress=False,
    )
    falls = []
    learner.learn(after_round=lambda finished: falls.append(falls_per_lap(learner.policy(finished.round))))
    env.close()
    return falls


def falls_per_lap(policy: Policy) -> float:
    """Evaluate a policy for a lap, and count how often it leaves the road."""
    env = gymnasium.make("UdacitySim-v0", image_size=policy.image_size)
    evaluation = evaluate(policy, env, laps=1, intervene="road", start={"s": 0.0, "speed": SPEED})
    env.close()
    return float(evaluation.falls)


def print_table(falls: dict[str, list[float]]) -> None:
    """Print falls per lap, a row for each round."""
    print(f"{'round':>5}" + "".join(f"{method:>10}" for method in falls))
    for number, row in enumerate(zip(*falls.values(), strict=True), start=1):
        print(f"{number:>5}" + "".join(f"{value:>10.0f}" for value in row))


def plot(falls: dict[str, list[float]], path: Path) -> None:
    """Draw falls per lap against rounds."""
    figure = Figure(figsize=(6, 4), layout="tight")
    axes: Any = figure.subplots()
    for method, values in falls.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", label=method)
    axes.set(
        xlabel="round",
        ylabel="falls per lap",
        title="Linear controller with a model as the expert",
        ylim=(0, None),
    )
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
