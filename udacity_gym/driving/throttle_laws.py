"""Throttle laws: formulas by which a ``drive.py`` chooses the throttle for a model that only steers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

from udacity_gym.checks import check_number
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import MPH


@runtime_checkable
class ThrottleLaw(Protocol):
    """Chooses the throttle of a policy that only steers; called once per step, that is, per telemetry."""

    def reset(self) -> None:
        """Forget the episode before."""

    def __call__(self, steering: float, speed: float) -> float:
        """Choose the throttle.

        Args:
            steering: that the policy has just chosen, [-1, 1].
            speed: m/s.

        Returns:
            Throttle; a driver clips it to [-1, 1], negative brakes.
        """
        ...


@dataclass
class ConstantThrottle:
    """Always the same throttle.

    Attributes:
        throttle: [-1, 1].
    """

    throttle: float = 0.2

    def __post_init__(self) -> None:
        check_number("throttle", self.throttle, -1.0, 1.0)

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, steering: float, speed: float) -> float:
        """The throttle, see `ThrottleLaw`."""
        return self.throttle


@dataclass
class PIThrottle:
    """The PI controller of the course's ``drive.py``: ``proportional * error + integral * sum of errors``.

    The sum has no limit, as in the course: a standing start overshoots. `udacity_gym.driving.SpeedController`
    is the same without this fault.

    Attributes:
        target_speed: m/s.
        proportional: 1/(m/s), throttle per speed error; the default is the course's, 0.1 per mph.
        integral: 1/(m/s), throttle per sum of the speed errors of all steps; the default is the course's,
            0.002 per mph.
        coast_steering: share of full lock from which the throttle is 0; None has no such limit.
    """

    target_speed: float = 9 * MPH
    proportional: float = 0.1 / MPH
    integral: float = 0.002 / MPH
    coast_steering: float | None = None
    _sum: float = field(default=0.0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("target_speed", "proportional", "integral"):
            check_number(name, getattr(self, name), 0.0)
        if self.coast_steering is not None:
            check_number("coast_steering", self.coast_steering, 0.0, 1.0)

    def reset(self) -> None:
        """Forget the sum."""
        self._sum = 0.0

    def __call__(self, steering: float, speed: float) -> float:
        """The throttle, see `ThrottleLaw`."""
        error = self.target_speed - speed
        self._sum += error
        if self.coast_steering is not None and abs(steering) >= self.coast_steering:
            return 0.0
        return self.proportional * error + self.integral * self._sum


@dataclass
class SpeedThrottle:
    """Less throttle at higher speed: ``scale * max(minimum, 1 - speed / top_speed)``.

    Attributes:
        scale: throttle at standstill.
        top_speed: m/s at which the difference is 0.
        minimum: least value of the difference.
    """

    scale: float = 0.8
    top_speed: float = 30 * MPH
    minimum: float = 0.1

    def __post_init__(self) -> None:
        check_number("scale", self.scale, 0.0)
        check_number("top_speed", self.top_speed, positive=True)
        check_number("minimum", self.minimum, -1.0, 1.0)

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, steering: float, speed: float) -> float:
        """The throttle, see `ThrottleLaw`."""
        return self.scale * max(self.minimum, 1.0 - speed / self.top_speed)


@dataclass
class SteeringThrottle:
    """Less throttle in bends and at higher speed: ``1 - steering² - (speed / limit)²``.

    The limit is ``speed_limit``. A car that is faster, such as downhill, gets ``low_limit`` until it is
    slower than that.

    Attributes:
        speed_limit: m/s.
        low_limit: m/s; None is the same as ``speed_limit``.
    """

    speed_limit: float = 25 * MPH
    low_limit: float | None = 10 * MPH
    _is_slowing: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_number("speed_limit", self.speed_limit, positive=True)
        if self.low_limit is not None:
            check_number("low_limit", self.low_limit, positive=True)

    def reset(self) -> None:
        """Forget that the car was too fast."""
        self._is_slowing = False

    def __call__(self, steering: float, speed: float) -> float:
        """The throttle, see `ThrottleLaw`."""
        low = self.speed_limit if self.low_limit is None else self.low_limit
        self._is_slowing = speed > (low if self._is_slowing else self.speed_limit)
        limit = low if self._is_slowing else self.speed_limit
        return 1.0 - steering**2 - (speed / limit) ** 2


THROTTLE_LAWS: dict[str, type[Any]] = {
    "constant": ConstantThrottle,
    "pi": PIThrottle,
    "speed": SpeedThrottle,
    "steering": SteeringThrottle,
}
"""Throttle laws by the name that descriptions of models and exported files use."""


def make_throttle_law(data: Any) -> ThrottleLaw:
    """Make a throttle law from JSON values.

    Args:
        data: an object with the ``law``, a name in `THROTTLE_LAWS`, and the law's attributes, such as
            ``{"law": "pi", "target_speed": 4.0}``; attributes left out have their defaults.

    Raises:
        OptionError: The law is unknown, or an attribute is unknown or out of range.
    """
    if not isinstance(data, Mapping) or data.get("law") not in THROTTLE_LAWS:
        raise OptionError(
            f"throttle_law must be an object with a law, one of {', '.join(THROTTLE_LAWS)}, such as "
            f'{{"law": "pi", "target_speed": 4.0}}; it is {data!r}'
        )
    values = {name: value for name, value in data.items() if name != "law"}
    law_class = THROTTLE_LAWS[data["law"]]
    names = [item.name for item in fields(law_class) if item.init]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise OptionError(
            f"the throttle law {data['law']!r} has no {', '.join(unknown)}; it has {', '.join(names)}"
        )
    law: ThrottleLaw = law_class(**values)
    return law


def throttle_law_to_json(law: ThrottleLaw) -> dict[str, Any]:
    """Convert a throttle law to JSON values, see `make_throttle_law`.

    Raises:
        OptionError: The law is none of `THROTTLE_LAWS`.
    """
    for name, law_class in THROTTLE_LAWS.items():
        if type(law) is law_class:
            settings = [item.name for item in fields(THROTTLE_LAWS[name]) if item.init]
            return {"law": name, **{setting: getattr(law, setting) for setting in settings}}
    raise OptionError(
        f"{type(law).__name__} can't be written to a file: only the throttle laws "
        f"{', '.join(THROTTLE_LAWS)} can"
    )
