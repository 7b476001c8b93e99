"""What the agent sees: telemetry becomes an image, several with their sensors, or a state vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from udacity_gym.errors import OptionError
from udacity_gym.sensors import FAR, IMAGE_SIZE, Label
from udacity_gym.telemetry import SENSORS, Telemetry
from udacity_gym.world.track.track import Track

Observation: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]]
"""What the agent sees; which of the two depends on ``cameras`` and ``sensors``, see `UdacityEnv`."""

PREVIEW = (0.0, 5.0, 10.0, 20.0, 40.0)
"""m ahead at which the state vector tells the curvature."""
STATE_SCALES = MappingProxyType(
    {
        "speed": 15.0,
        "steering": 1.0,
        "throttle": 1.0,
        "cte": 5.0,
        "heading_error": math.pi,
        **{f"curvature_{distance:g}m": 0.1 for distance in PREVIEW},
    }
)
"""Entries of the state vector in their order, and what each is divided by (m/s, -, -, m, rad, 1/m)."""


class Observer:
    """Makes observations.

    Args:
        cameras: names of the cameras; none makes state vectors.
        sensors: what each camera tells besides its image.
        image_size: (height, width) of the images in pixels.

    Attributes:
        space: what all its observations are in.

    Raises:
        OptionError: There are no such sensors, or no camera to have them.
    """

    def __init__(
        self, cameras: Sequence[str], sensors: Sequence[str] = (), image_size: tuple[int, int] = IMAGE_SIZE
    ) -> None:
        self._cameras = tuple(cameras)
        self._names = (*cameras, *(f"{camera}_{sensor}" for camera in cameras for sensor in sensors))
        height, width = image_size
        seen: dict[str, spaces.Space[Any]] = {
            camera: spaces.Box(0, 255, (height, width, 3), np.uint8) for camera in cameras
        }
        for camera in cameras:
            if "depth" in sensors:
                seen[f"{camera}_depth"] = spaces.Box(0.0, FAR, (height, width), np.float32)
            if "segmentation" in sensors:
                seen[f"{camera}_segmentation"] = spaces.Box(0, int(max(Label)), (height, width), np.uint8)
        self.space: spaces.Space[Any]
        if not cameras:
            self.space = spaces.Box(-1.0, 1.0, (len(STATE_SCALES),), np.float32)
        elif len(seen) == 1:
            self.space = seen[self._cameras[0]]
        else:
            self.space = spaces.Dict(seen)

    def observe(self, telemetry: Telemetry, track: Track) -> Observation:
        """What the agent sees of a moment.

        Args:
            telemetry: what the simulator told of it.
            track: the track that the car is on.

        Returns:
            An element of `space`, fresh arrays.
        """
        if not self._names:
            return state_vector(telemetry, track)
        images = telemetry.images(self._names)
        return images[self._names[0]] if len(self._names) == 1 else images


def check_sensors(sensors: Any, cameras: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Sensors, or an error that says which there are.

    Args:
        sensors: anything.
        cameras: the cameras that are to have them.
        known: sensors that the simulator's cameras can have.

    Raises:
        OptionError: There are no such sensors, or no camera to have them.
    """
    if isinstance(sensors, str) or not isinstance(sensors, Sequence):
        raise OptionError(f"sensors must be a tuple of names, such as ('depth',), got {sensors!r}")
    if any(sensor not in SENSORS for sensor in sensors) or len(set(sensors)) != len(sensors):
        raise OptionError(f"sensors must be different ones of {', '.join(SENSORS)}, got {tuple(sensors)!r}")
    if sensors and not cameras:
        raise OptionError(f"sensors={tuple(sensors)!r} need a camera, such as cameras=('center',)")
    missing = [sensor for sensor in sensors if sensor not in known]
    if missing:
        raise OptionError(f"this simulator's cameras have no {' or '.join(missing)}; the embedded one's have")
    return tuple(sensors)


def state_vector(telemetry: Telemetry, track: Track) -> NDArray[np.float32]:
    """The state vector of a moment, (len(STATE_SCALES),) float32 in [-1, 1]; 0 is what nobody tells."""
    at, told = telemetry.track, telemetry.extra
    if at is not None:
        where = [at.cte, at.heading_error]
        where += [track.curvature_at(at.s + distance) for distance in PREVIEW]
    else:
        where = [float(told.get(name, 0.0)) for name in ("cte", "heading_error")] + [0.0] * len(PREVIEW)
    throttle = telemetry.throttle - telemetry.brake
    values = [telemetry.speed, telemetry.steering, throttle, *where]
    scaled = np.array(values) / np.array(list(STATE_SCALES.values()))
    return np.asarray(np.clip(scaled, -1.0, 1.0), dtype=np.float32)
