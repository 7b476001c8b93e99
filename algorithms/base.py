"""Interfaces of policies and learners: `Policy` and `Learner`. Needs no torch."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.chunks import Chunks
from udacity_gym.driving.policy_inputs import (
    ObservationError,
    check_measurements,
    check_observation,
    check_observations,
)
from udacity_gym.driving.throttle_laws import ThrottleLaw
from udacity_gym.errors import UdacityGymError
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.telemetry import Image

__all__ = [
    "ACTION_MEANINGS",
    "Action",
    "Chunks",
    "Floats",
    "Learner",
    "ObservationError",
    "Policy",
    "TrainingError",
]

Floats: TypeAlias = NDArray[np.float32]

Action: TypeAlias = Floats
"""Values in [-1, 1] in the order of `Policy.actions`."""

ACTION_MEANINGS = {
    "steering": "[-1, 1] share of full lock, positive turns right",
    "throttle": "[-1, 1] share of full throttle, negative brakes",
}


class TrainingError(UdacityGymError, RuntimeError):
    """Training can't continue; the message says where it stopped and what to change."""


class Policy(ABC):
    """Base class of policies, which map images to actions.

    ``predict`` has the interface of Stable-Baselines3, so its tools and those of ``imitation`` accept
    a policy. Subclasses implement `act` and `save`.

    Attributes:
        actions: what the columns of an action mean, in order, names from `ACTION_MEANINGS`.
            ("steering", "throttle") fits ``env.step`` directly; ("steering",) leaves the speed to
            `udacity_gym.wrappers.SpeedControl`.
        target_speed: m/s, speed for a steering-only policy; None if the policy controls the throttle, or if
            there is a throttle law.
        throttle_law: chooses the throttle of a steering-only policy in place of keeping ``target_speed``, see
            `udacity_gym.driving.throttle_laws`; None keeps the speed.
        image_size: (height, width) px of the images that it accepts.
        camera: camera whose image it takes from a Dict observation.
        cameras: cameras whose images it takes together from a Dict observation; empty for `camera` alone.
        inputs: other entries that it takes from a Dict observation, names from
            `udacity_gym.driving.policy_inputs.MEASUREMENTS`; a driver adds them to the observation.
        past_frames: number of past images that it uses; they are kept in ``state``.
    """

    actions: tuple[str, ...] = ("steering", "throttle")
    target_speed: float | None = None
    throttle_law: ThrottleLaw | None = None
    image_size: tuple[int, int] = IMAGE_SIZE
    camera: str = "center"
    cameras: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    past_frames: int = 0

    @abstractmethod
    def act(self, images: Image, measurements: Floats | None = None) -> Action:
        """Choose an action for each image.

        A policy without ``inputs`` may leave the second argument out of its signature.

        Args:
            images: (n, *image_size, 3) uint8 RGB, checked; (n, cameras, *image_size, 3) of several `cameras`.
            measurements: (n, len(inputs)) float32 in SI units, checked; given if there are ``inputs``.

        Returns:
            (n, len(actions)) float32, not necessarily clipped.
        """

    @abstractmethod
    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint that `load_policy` reads.

        Args:
            folder: the folder; an older checkpoint in it is replaced once the new one is complete.

        Returns:
            The folder.
        """

    def push_to_hub(self, repository: str, *, private: bool = False, results: str | None = None) -> str:
        """Upload the policy to the Hugging Face Hub; see `udacity_gym.hub.push_policy`.

        Args:
            repository: "user/name"; it is created if it does not exist.
            private: whether a new repository is private.
            results: results for the model card, such as ``str(evaluate(policy, env))``.

        Returns:
            The URL of the repository.
        """
        from udacity_gym.hub import push_policy

        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save(Path(scratch) / "policy")
            return push_policy(folder, repository, private=private, results=results)

    @staticmethod
    def from_pretrained(name: str, **options: Any) -> Policy:
        """Load a policy from the Hugging Face Hub, or one of this package.

        Args:
            name: "user/name", or "user/name@revision"; or "pretrained:lake" and the like.
            options: see `algorithms.load_policy`.
        """
        from algorithms.policies.loading import load_policy

        return load_policy(name if ":" in name else f"hf:{name}", **options)

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
                to such images, of which `camera` or `cameras` are used, and from `inputs` to numbers, (1,) or
                (n, 1).
            state: the state that the last call returned, None at first. A policy without past frames returns
                it unchanged.
            episode_start: (n,) true for cars whose episode begins, so that their past is discarded; or one
                value for all.
            deterministic: ignored; the policy has no randomness.

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
        """Check an observation and split it into images and measurements.

        Returns:
            (n, *image_size, 3) uint8 images, or (n, cameras, *image_size, 3) of several cameras;
            (n, len(inputs)) float32 measurements; and whether the observation was a single one; n is 1 then.

        Raises:
            ObservationError: See `predict`.
        """
        if len(self.cameras) > 1:
            images = check_observations(observation, self.image_size, self.cameras)
            single = images.ndim == 4
        else:
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
    """Interface of learners, which train policies. Other packages need nothing else of this package.

    A learner is a class made with the recordings as first argument, and by keyword with ``seed``, with
    ``folder`` (folder of its files; None keeps nothing) and with its own options. If its signature
    names them, it also gets ``env``, an environment to drive in, and ``expert``, an expert to ask::

        class SomeLearner:
            def __init__(self, recordings, *, seed=0, folder=None, env=None, expert=None, **options): ...

    The policy that it returns needs ``predict`` and ``save(folder)``, as in `Policy`. If
    `algorithms.load_policy` can't read its checkpoints, the learner has a class method ``load(folder)``.
    """

    def learn(self) -> Policy:
        """Train to the end, or resume an interrupted training, and return the best policy."""
