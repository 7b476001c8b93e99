"""A learner of your own: no network, but the most similar images of the recording.

A learner is a class that takes recordings and has ``learn()``, which returns a policy: an object with
``predict``. Nothing must be imported from this project for that. Here the policy remembers small grey
images, and steers as the expert did in the five most similar ones (k nearest neighbours). That is enough to
follow a road that it has seen.

The program records an expert with noise on its steering, so that the recording shows ways back. It trains
the learner, lets it drive, and checks that it drives far further than a car that goes straight on. It takes
half a minute.

    python examples/custom_learner.py
    udacity-gym train laps --algorithm examples.custom_learner:NearestNeighbours   # by its name
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

import udacity_gym
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.recording import Recording, record
from udacity_gym.telemetry import Image

SPEED = 10.0
"""m/s that expert and policy drive at."""
CROP = slice(60, 135)
"""Rows of the image that show the road."""
SIZE = (32, 12)
"""Width and height of the images that are compared, pixels."""


def to_features(image: Image) -> NDArray[np.float32]:
    """A small grey image as a vector, with mean 0 so that light does not matter.

    Args:
        image: (160, 320, 3) uint8 RGB.
    """
    grey = cv2.cvtColor(image[CROP], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    features: NDArray[np.float32] = small - small.mean()
    return features


class NearestNeighbourPolicy:
    """Steers like the recorded frames with the most similar images.

    Args:
        features: (n, d) float32, one row for each recorded image.
        steering: (n,) float32, the expert's steering.
        neighbours: number of frames whose mean is taken.
    """

    actions = ("steering",)
    target_speed = SPEED

    def __init__(self, features: NDArray[np.float32], steering: NDArray[np.float32], neighbours: int) -> None:
        self.features, self.steering, self.neighbours = features, steering, neighbours

    def predict(
        self, observation: Image, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[np.float32], Any]:
        """Steer by one image, (160, 320, 3) uint8 RGB."""
        distance = np.square(self.features - to_features(observation)).sum(axis=1)
        nearest = np.argpartition(distance, self.neighbours)[: self.neighbours]
        return np.array([self.steering[nearest].mean()], np.float32), state

    def save(self, folder: Path) -> None:
        """Write the frames, not a pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "neighbours.npz", features=self.features, steering=self.steering)


class NearestNeighbours:
    """The learner: remembers all frames of the recordings.

    Args:
        recordings: what to learn from.
        neighbours: number of similar frames whose steering is averaged.
    """

    def __init__(self, recordings: Sequence[Recording], *, neighbours: int = 5) -> None:
        self.recordings, self.neighbours = recordings, neighbours

    def learn(self) -> NearestNeighbourPolicy:
        """Prepare the images; there is nothing else to train."""
        frames = [frame for recording in self.recordings for frame in recording.frames()]
        features = np.stack([to_features(frame.image("center")) for frame in frames])
        # Where the expert was perturbed, the side file has what it wanted.
        wanted = [frame.extra.get("expert_action", [frame.steering])[0] for frame in frames]
        return NearestNeighbourPolicy(features, np.array(wanted, np.float32), self.neighbours)

    @classmethod
    def load(cls, folder: Path) -> NearestNeighbourPolicy:
        """Read what `NearestNeighbourPolicy.save` has written."""
        with np.load(folder / "neighbours.npz", allow_pickle=False) as file:
            return NearestNeighbourPolicy(file["features"], file["steering"], neighbours=5)


class StraightOn(NearestNeighbourPolicy):
    """What needs no learning at all."""

    def __init__(self) -> None:
        super().__init__(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), 1)

    def predict(
        self, observation: Image, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[np.float32], Any]:
        """Go straight on."""
        return np.zeros(1, np.float32), state


def main(arguments: Sequence[str] | None = None) -> None:
    """Record, learn, drive, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record-seconds", type=float, default=220.0, help="two laps by default")
    parser.add_argument("--drive-seconds", type=float, default=110.0, help="a lap by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        expert = NoisyExpert(PurePursuit(speed=SPEED), Noise.of(steering=0.12, correlation=0.5), seed=0)
        with gymnasium.make(udacity_gym.ENV_ID) as env:
            recording = record(
                env, expert, Path(scratch, "laps"), seconds=options.record_seconds, seed=0, allow_missing=True
            )
            policy = NearestNeighbours([recording]).learn()
            interventions = {}
            for name, driver in {"nearest neighbours": policy, "straight on": StraightOn()}.items():
                result = evaluate(driver, env, laps=1, max_seconds=options.drive_seconds)
                interventions[name] = result.interventions
                print(f"{name}: {result.interventions} interventions in {result.distance:.0f} m")
    assert interventions["nearest neighbours"] < 0.5 * interventions["straight on"]


if __name__ == "__main__":
    main()
