"""What every policy and every learner of this package looks like. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.policy_inputs import ObservationError, check_measurements, check_observation
from udacity_gym.errors import UdacityGymError
from udacity_gym.sensors import IMAGE_SIZE
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
    """Something that drives: images in, actions out.

    ``predict`` keeps the contract of Stable-Baselines3, so its tools and those of ``imitation`` accept
    a policy. Subclasses write `act` and `save`.

    Attributes:
        actions: what the columns of an action mean, in order, names from `ACTION_MEANINGS`.
            ("steering", "throttle") fits ``env.step`` directly; ("steering",) leaves the speed to
            `udacity_gym.wrappers.SpeedControl`.
        target_speed: m/s that a steering-only policy wants to be driven at, None if it works the throttle.
        image_size: (height, width) px of the images it accepts.
        camera: which image of a Dict observation it looks at.
        inputs: what else it needs of a Dict observation, of those in
            `udacity_gym.driving.policy_inputs.MEASUREMENTS`; a driver adds them to the observation.
        past_frames: how many past images it looks at; it remembers them in ``state``.
    """

    actions: tuple[str, ...] = ("steering", "throttle")
    target_speed: float | None = None
    image_size: tuple[int, int] = IMAGE_SIZE
    camera: str = "center"
    inputs: tuple[str, ...] = ()
    past_frames: int = 0

    @abstractmethod
    def act(self, images: Image, measurements: Floats | None = None) -> Action:
        """Choose an action for each image.

        A policy without ``inputs`` may leave the second argument out of its signature.

        Args:
            images: (n, *image_size, 3) uint8 RGB, checked.
            measurements: (n, len(inputs)) float32 in SI units, checked; handed in if there are ``inputs``.

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
            observation: (*image_size, 3) or (n, *image_size, 3) uint8 RGB, or a mapping from camera names
                to such images, of which `camera` is used, and from `inputs` to numbers, (1,) or (n, 1).
            state: what the last call gave back, None at first. A policy that remembers nothing hands
                it back untouched.
            episode_start: (n,) for which of the cars an episode begins, whose past is forgotten; or one
                for all.
            deterministic: not used: the policy has no randomness.

        Returns:
            The action, (len(actions),) or (n, len(actions)) float32 in [-1, 1], and the state.

        Raises:
            ObservationError: The observation has the wrong shape, dtype, range or channel order, lacks an
                input, or the state is of another number of cars.
        """
        images, measurements, single = self.check(observation)
        action, state = self._decide(images, measurements, state, episode_start)
        action = np.clip(action, -1.0, 1.0).astype(np.float32, copy=False)
        return (action[0] if single else action), state

    def check(self, observation: Any) -> tuple[Image, Floats, bool]:
        """Take an observation apart.

        Returns:
            (n, *image_size, 3) uint8 images, (n, len(inputs)) float32 measurements, and whether the
            observation was a single one; n is 1 then.

        Raises:
            ObservationError: See `predict`.
        """
        images = check_observation(observation, self.image_size, self.camera)
        single = images.ndim == 3
        images = images[None] if single else images
        return images, check_measurements(observation, self.inputs, len(images), single), single

    def _decide(
        self,
        images: Image,
        measurements: Floats,
        state: tuple[NDArray[Any], ...] | None,
        episode_start: NDArray[np.bool_] | None,
    ) -> tuple[Action, tuple[NDArray[Any], ...] | None]:
        return (self.act(images, measurements) if self.inputs else self.act(images)), state


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
