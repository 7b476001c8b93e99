"""What every policy and every learner of this package looks like. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import UdacityGymError
from udacity_gym.telemetry import Image

Action: TypeAlias = NDArray[np.float32]
"""Values in [-1, 1] in the order of `Policy.actions`."""

ACTION_MEANINGS = {
    "steering": "[-1, 1] share of full lock, positive turns right",
    "throttle": "[-1, 1] share of full throttle, negative brakes",
}


class ObservationError(UdacityGymError, ValueError):
    """An observation is not what the policy was trained on; the message says what it looks like instead."""


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


def check_observation(observation: Any, picture: tuple[int, int], camera: str = "center") -> Image:
    """Make sure that an observation is a picture or a batch of them, and recognise common mistakes.

    Args:
        observation: what the user handed in.
        picture: (height, width) px that are expected.
        camera: which picture of a mapping is meant.

    Returns:
        (*picture, 3) or (n, *picture, 3) uint8.

    Raises:
        ObservationError: It is neither.
    """
    if isinstance(observation, Mapping):
        if camera not in observation:
            raise ObservationError(
                f"the policy looks through the {camera!r} camera, but this Dict observation has only "
                f"{sorted(map(str, observation))}; make the env with cameras that include {camera!r}"
            )
        observation = observation[camera]
    if isinstance(observation, tuple):
        raise ObservationError(
            "the observation is a tuple; env.reset() returns (observation, info): hand in the first of them"
        )
    images = np.asarray(observation)
    height, width = picture
    wanted = f"({height}, {width}, 3) or (n, {height}, {width}, 3) uint8 RGB"
    shape = images.shape
    if images.ndim not in (3, 4) or shape[-3:] != (height, width, 3):
        raise ObservationError(f"expected {wanted}, got shape {shape}{_shape_hint(shape, picture)}")
    if images.dtype != np.uint8:
        raise ObservationError(f"expected {wanted}, got dtype {images.dtype}{_range_hint(images)}")
    return images


def _shape_hint(shape: tuple[int, ...], picture: tuple[int, int]) -> str:
    height, width = picture
    if len(shape) not in (3, 4):
        return ": is it a state vector? Make the env with cameras=('center',)" if len(shape) <= 2 else ""
    last = shape[-3:]
    if last == (3, height, width):
        return ": the channels come first; undo VecTransposeImage, or np.moveaxis(observation, -3, -1)"
    if last == (width, height, 3):
        return ": height and width are swapped"
    if last == (height, width, 4):
        return ": it has an alpha channel; drop it with observation[..., :3]"
    if last == (height, width, 1):
        return ": it is grey; this policy needs colours"
    if last[0] == height and last[1] == width and last[2] % 3 == 0:
        return ": frames are stacked, but the policy was trained on single pictures"
    if last[2] == 3:
        return ": give the policy the camera's whole picture, it crops and resizes by itself"
    return ""


def _range_hint(images: NDArray[Any]) -> str:
    if not np.issubdtype(images.dtype, np.number) or images.size == 0:
        return ""
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    if low >= 0 and 0 < high <= 1:
        return ": values lie in [0, 1], as if normalised; hand in the camera's uint8 picture"
    if low < 0:
        return ": there are negative values, as if normalised; hand in the camera's uint8 picture"
    return ": convert with observation.astype(np.uint8)"


@runtime_checkable
class Learner(Protocol):
    """What trains a policy. Third parties need to know nothing else of this package.

    A learner is made with the recordings as first argument and with ``seed``, and its own options by
    keyword: ``SomeLearner(recordings, seed=0, ...)``.
    """

    def learn(self) -> Policy:
        """Train to the end, or go on from where training stopped, and return the best policy."""
