"""What a policy may be shown: a camera's image, or a batch of them. Common mistakes are recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import UdacityGymError
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.telemetry import Image

MEASUREMENTS = {
    "speed": "m/s, forwards",
    "steering": "[-1, 1] share of full lock in force, positive turns right",
    "throttle": "[0, 1] in force",
    "brake": "[0, 1] in force",
}
"""What a policy may get besides images: entries of a Dict observation and of ``info``, and their units.

Add an entry of your own, such as ``MEASUREMENTS["yaw_rate"] = "rad/s"``, if the environment's ``info`` and
the side file of the recordings have it under this name."""


class ObservationError(UdacityGymError, ValueError):
    """An observation is not what the policy was trained on; the message says what it looks like instead."""


def image_size_for(policy: object) -> tuple[int, int]:
    """(height, width) px of the images that a policy looks at: its own ``image_size``, or Udacity's size."""
    height, width = getattr(policy, "image_size", IMAGE_SIZE)
    return int(height), int(width)


def cameras_for(policy: object) -> tuple[str, ...]:
    """Cameras whose images a policy takes: its own ``cameras`` or ``camera``, or the centre camera."""
    return tuple(getattr(policy, "cameras", ())) or (str(getattr(policy, "camera", "center")),)


def measurements_of(info: Mapping[str, Any], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Measurements in an environment's info, each (1,) float32.

    Raises:
        ObservationError: The simulator does not report one of them.
    """
    missing = [name for name in names if info.get(name) is None]
    if missing:
        raise ObservationError(
            f"the environment's info has no {', '.join(missing)}; use a simulator that reports it, "
            "or a policy that does not need it"
        )
    return {name: np.array([info[name]], np.float32) for name in names}


def speed_for_throttle(info: Mapping[str, Any]) -> float:
    """Speed in an environment's info, m/s, for what controls the throttle of a policy that only steers.

    Raises:
        ObservationError: The simulator does not report the speed.
    """
    if info.get("speed") is None:
        raise ObservationError(
            "the environment's info has no speed; use a simulator that reports it, or a policy that controls "
            "the throttle, too"
        )
    return float(info["speed"])


def check_observations(
    observation: Any, image_size: tuple[int, int], cameras: Sequence[str]
) -> NDArray[np.uint8]:
    """Check the images of several cameras, each as `check_observation` does, and stack them.

    Args:
        observation: a mapping from cameras to images.
        image_size: (height, width) px that are expected.
        cameras: names of the cameras, in order.

    Returns:
        (cameras, *image_size, 3) or (n, cameras, *image_size, 3) uint8.

    Raises:
        ObservationError: The observation is no mapping, or an image is not as expected.
    """
    if not isinstance(observation, Mapping):
        raise ObservationError(
            f"the policy takes images of {', '.join(cameras)} together, but this observation is "
            f"{type(observation).__name__}; make the env with cameras={tuple(cameras)}"
        )
    images = [check_observation(observation, image_size, camera) for camera in cameras]
    shapes = [image.shape for image in images]
    if len(set(shapes)) > 1:
        raise ObservationError(
            f"the images of {', '.join(cameras)} must be of equally many moments, got {shapes}"
        )
    return np.stack(images, axis=-4)


def check_observation(observation: Any, image_size: tuple[int, int], camera: str = "center") -> Image:
    """Make sure that an observation is an image or a batch of them, and recognise common mistakes.

    Args:
        observation: what the user handed in.
        image_size: (height, width) px that are expected.
        camera: which image of a mapping is meant.

    Returns:
        (*image_size, 3) or (n, *image_size, 3) uint8.

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
    height, width = image_size
    wanted = f"({height}, {width}, 3) or (n, {height}, {width}, 3) uint8 RGB"
    shape = images.shape
    if images.ndim not in (3, 4) or shape[-3:] != (height, width, 3):
        raise ObservationError(f"expected {wanted}, got shape {shape}{_shape_hint(shape, image_size)}")
    if images.dtype != np.uint8:
        raise ObservationError(f"expected {wanted}, got dtype {images.dtype}{_range_hint(images)}")
    if not len(images):
        raise ObservationError(
            f"expected {wanted}, got a batch of no images; without a car there is nothing to decide"
        )
    return images


def check_measurements(
    observation: Any, names: Sequence[str], images: int, single: bool
) -> NDArray[np.float32]:
    """Get the numbers that a policy needs besides the image, such as the speed.

    Args:
        observation: a mapping with the measurements by their names.
        names: which are needed, in order; see `MEASUREMENTS`.
        images: how many images it has, 1 for a single one.
        single: the observation is of one moment, not a batch.

    Returns:
        (images, len(names)) float32 in SI units.

    Raises:
        ObservationError: One is missing, not finite, or not one number for each image.
    """
    columns = []
    for name in names:
        if not isinstance(observation, Mapping) or name not in observation:
            found = f"only {sorted(map(str, observation))}" if isinstance(observation, Mapping) else "none"
            wrapper = "SpeedObservation(env)" if name == "speed" else "fit_to(policy, env)"
            advice = f"wrap the environment: udacity_gym.wrappers.{wrapper}"
            raise ObservationError(
                f"the policy needs the {name} besides the image, but this observation has {found}; {advice}"
            )
        column = np.asarray(observation[name], np.float32)
        if single:
            column = column[None]
        if column.ndim > 2 or column.size != len(column) or not np.isfinite(column).all():
            raise ObservationError(
                f"{name} must be one finite number {'' if single else 'for each image '}"
                f"in {MEASUREMENTS[name]}, got {observation[name]!r}"
            )
        if len(column) != images:
            raise ObservationError(f"{images} images, but {len(column)} numbers of {name}")
        columns.append(column.reshape(-1))
    return np.stack(columns, axis=1) if columns else np.empty((images, 0), np.float32)


def _shape_hint(shape: tuple[int, ...], image_size: tuple[int, int]) -> str:
    height, width = image_size
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
        return ": frames are stacked, but the policy was trained on single images"
    if last[2] == 3:
        return ": give the policy the camera's whole image, it crops and resizes by itself"
    return ""


def _range_hint(images: NDArray[Any]) -> str:
    if not np.issubdtype(images.dtype, np.number) or images.size == 0:
        return ""
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    if low >= 0 and 0 < high <= 1:
        return ": values lie in [0, 1], as if normalised; hand in the camera's uint8 image"
    if low < 0:
        return ": there are negative values, as if normalised; hand in the camera's uint8 image"
    return ": convert with observation.astype(np.uint8)"
