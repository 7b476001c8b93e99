"""DAgger with a learner that is none of this package: ridge regression of scikit-learn.

An interactive learner needs a function that turns labelled frames into a policy. Here it fits scikit-learn's
`Ridge` to small grey images. Whatever has ``predict`` can take its place: a model of Stable-Baselines3, a
policy of LeRobot, a network of your own.

The program prints how often each round's policy leaves its lane on a lap, and checks that DAgger's last
policy does so less often than the first one, which is a clone of the expert. It takes half a minute.

    pip install scikit-learn
    python examples/dagger_scikit_learn.py
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

import udacity_gym
from algorithms import DAgger, Frames
from udacity_gym.experts import PurePursuit
from udacity_gym.telemetry import Image

SPEED = 9.0
"""m/s; a controller keeps it."""
CROP = slice(28, 68)
"""Rows of the image that show the road, of 80."""
SIZE = (24, 10)
"""Width and height of what the regression sees, pixels."""


def to_features(images: Image) -> NDArray[np.float32]:
    """Small grey images as vectors.

    Args:
        images: (n, 80, 160, 3) uint8 RGB.
    """
    grey = [cv2.cvtColor(image[CROP], cv2.COLOR_RGB2GRAY) for image in images]
    small = [cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA) for image in grey]
    return np.stack(small).reshape(len(small), -1).astype(np.float32) / 255.0


class RidgePolicy:
    """A ridge regression that steers."""

    actions = ("steering",)
    target_speed = SPEED

    def __init__(self, coefficients: NDArray[np.float32], intercept: float) -> None:
        self.coefficients, self.intercept = coefficients, intercept

    def predict(
        self,
        observation: Image,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.float32], Any]:
        """Steer by one image, or by a batch of them, as policies of Stable-Baselines3 do."""
        images = observation if observation.ndim == 4 else observation[None]
        steering = (to_features(images) @ self.coefficients + self.intercept).clip(-1, 1)
        action = steering[:, None].astype(np.float32)
        return (action if observation.ndim == 4 else action[0]), state

    def save(self, folder: Path) -> None:
        """Write the weights, not a pickle."""
        np.savez(folder / "ridge.npz", coefficients=self.coefficients, intercept=self.intercept)

    @classmethod
    def load(cls, folder: Path) -> RidgePolicy:
        """Read the weights."""
        with np.load(folder / "ridge.npz", allow_pickle=False) as file:
            return cls(file["coefficients"], float(file["intercept"]))


def fit(frames: Frames, policy: RidgePolicy | None) -> RidgePolicy:
    """Train on all labelled frames so far; ridge regression needs no policy to start from."""
    images = np.stack([frames.image(row, "center") for row in range(len(frames))])
    model = Ridge(alpha=3.0).fit(to_features(images), frames.steering)
    return RidgePolicy(model.coef_.astype(np.float32), float(model.intercept_))


def main() -> None:
    """Learn in rounds, then compare the last policy with the first."""
    parser = argparse.ArgumentParser(description="DAgger with ridge regression of scikit-learn.")
    parser.add_argument("--output", type=Path, default=Path("dagger-ridge"), help="folder of the rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600, help="frames per round")
    arguments = parser.parse_args()

    env = gymnasium.make(udacity_gym.ENV_ID, image_size=(80, 160))
    learner = DAgger(
        env=env,
        expert=PurePursuit(speed=SPEED),
        fit=fit,
        load=RidgePolicy.load,
        rounds=arguments.rounds,
        frames=arguments.frames,
        laps=1,
        folder=arguments.output,
        seed=0,
    )
    learner.learn()
    env.close()
    for round in learner.round_log:
        print(
            f"round {round.round}: {round.train_frames} frames, {round.interventions} times out of its lane "
            f"in {round.judged_metres:.0f} m"
        )
    first, last = learner.round_log[0], learner.round_log[-1]
    assert first.interventions is not None
    assert last.interventions is not None
    assert last.interventions < first.interventions, "DAgger must leave its lane less often than the clone"


if __name__ == "__main__":
    main()
