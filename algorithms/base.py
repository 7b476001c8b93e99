"""What every policy and every learner of this package looks like. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import UdacityGymError
from udacity_gym.observation import ObservationError, check_observation
from udacity_gym.telemetry import Image

__all__ = ["ACTION_MEANINGS", "Action", "Floats", "Learner", "ObservationError", "Policy", "TrainingError"]

Floats: TypeAlias = NDArray[np.float32]

Action: TypeAlias = Floats
"""Values in [-1, 1] in the order of `Policy.actions`."""

ACTION_MEANINGS = {
    "steering": "[-1, 1] share of full lock, positive turns right",
    "throttle": "[-1, 1] share of full throttle, negative brakes",
}


class TrainingError(UdacityGymError, RuntimeError):
    """Training can't go on; the message says where it stopped and what to change."""


class Policy(ABC):
    """Something that drives: pictures in, actions out.

    ``predict`` keeps the contract of Stable-Baselines3, so its tools and those of ``imitation`` accept
    a policy. Subclasses write `act` and `save`.

    Attributes:
        actions: what the columns of an action mean, in order, names from `ACTION_MEANINGS`.
            ("steering", "throttle") fits ``env.step`` directly; ("steering",) leaves the speed to
            `udacity_gym.wrappers.SpeedControl`.
        target_speed: m/s that a steering-only policy wants to be driven at, None if it works the throttle.
        picture: (height, width) px of the pictures it accepts.
        camera: which picture of a Dict observation it looks at.
    """

    actions: tuple[str, ...] = ("steering", "throttle")
    target_speed: float | None = None
    picture: tuple[int, int] = (160, 320)
    camera: str = "center"

    @abstractmethod
    def act(self, images: Image) -> Action:
        """Choose an action for each picture.

        Args:
            images: (n, *picture, 3) uint8 RGB, checked.

        Returns:
            (n, len(actions)) float32, not necessarily clipped.
        """

    @abstractmethod
    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint that `load_policy` reads.

        Args:
            folder: where to; an older checkpoint there is replaced once the new one is whole.

        Returns:
            The folder.
        """

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[Action, tuple[NDArray[Any], ...] | None]:
        """Choose the action for one observation or a batch of them.

        Args:
            observation: (*picture, 3) or (n, *picture, 3) uint8 RGB, or a mapping from camera names
                to such pictures, of which `camera` is used.
            state: handed back untouched: this policy remembers nothing.
            episode_start: not used.
            deterministic: not used: the policy has no randomness.

        Returns:
            The action, (len(actions),) or (n, len(actions)) float32 in [-1, 1], and the state.

        Raises:
            ObservationError: The observation has the wrong shape, dtype, range or channel order.
        """
        images = check_observation(observation, self.picture, self.camera)
        single = images.ndim == 3
        action = np.clip(self.act(images[None] if single else images), -1.0, 1.0).astype(
            np.float32, copy=False
        )
        return (action[0] if single else action), state


@runtime_checkable
class Learner(Protocol):
    """What trains a policy. Third parties need to know nothing else of this package.

    A learner is a class made with the recordings as first argument, and by keyword with ``seed``, with
    ``folder`` (where to keep its work; None keeps nothing) and with its own options; where its signature
    names them it also gets ``env``, an environment to drive in, and ``expert``, somebody to ask::

        class SomeLearner:
            def __init__(self, recordings, *, seed=0, folder=None, env=None, expert=None, **options): ...

    What it returns needs ``predict`` and ``save(folder)``, as `Policy` has them. A learner whose policies are
    no checkpoints that `algorithms.load_policy` knows has a class method ``load(folder)`` that reads them.
    """

    def learn(self) -> Policy:
        """Train to the end, or go on from where training stopped, and return the best policy."""
