"""Conditions of an episode: weather, light, wear of the road, grip and camera.

`Conditions` are fixed, by default those of Udacity's simulator. `Randomization` draws conditions for every
episode from names and ranges (domain randomisation, Tobin et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from udacity_gym.checks import check_integer, check_number, is_number
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

SHADOWS = ("cast", "none")
"""Whether land, plants and bridges cast shadows."""

WEATHERS = ("clear", "overcast", "rain", "fog", "snow", "ice")
"""Names of the weathers."""

TIMES: Mapping[str, tuple[float, float] | None] = MappingProxyType(
    {
        "day": None,
        "dawn": (math.radians(5.0), math.radians(15.0)),
        "noon": (math.radians(70.0), math.radians(-90.0)),
        "dusk": (math.radians(2.0), math.radians(165.0)),
        "night": (math.radians(-20.0), math.radians(-90.0)),
    }
)
"""Times of day: elevation and azimuth of the sun, rad; None for those of the track."""

_RANGES: dict[str, tuple[float, float]] = {
    "intensity": (0.0, 1.0),
    "sun_elevation": (-math.pi / 2, math.pi / 2),
    "sun_azimuth": (-math.tau, math.tau),
    "visibility": (10.0, 100_000.0),
    "road_wear": (0.0, 1.0),
    "grip": (0.05, 2.0),
    "exposure": (-4.0, 4.0),
    "noise": (0.0, 64.0),
    "jpeg": (1, 100),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "weather": WEATHERS,
    "time_of_day": tuple(TIMES),
    "shadows": SHADOWS,
}


def _checked(name: str, value: Any) -> Any:
    """Check the value of a field."""
    if name in _CHOICES:
        if not isinstance(value, str) or value not in _CHOICES[name]:
            raise OptionError(f"{name} must be one of {', '.join(map(repr, _CHOICES[name]))}, got {value!r}")
        return value
    if name == "jpeg":
        return check_integer(name, value, 1, 100)
    return check_number(name, value, *_RANGES[name])


@dataclass(frozen=True)
class Conditions:
    """Weather, light, road and camera of an episode; the default is Udacity's simulator, byte for byte.

    Attributes:
        weather: "clear", "overcast", "rain", "fog", "snow" or "ice".
        intensity: intensity of the weather, [0, 1].
        time_of_day: "day", "dawn", "noon", "dusk" or "night"; sets the sun, see `TIMES`. If the sun is below
            the horizon, the car has its headlights on.
        sun_elevation: elevation of the sun, rad, negative below the horizon; None for that of the time of
            day.
        sun_azimuth: azimuth of the sun, rad counter-clockwise from east (+x); None for that of the time of
            day.
        shadows: "cast", or "none", as Udacity's simulator draws with the graphics quality "Fastest". The lake
            has none in either case.
        visibility: distance at which the contrast falls to 5 %, m (Koschmieder 1924); None for that of the
            weather.
        road_wear: wear of the road, [0, 1]: faded lines, cracks and patches.
        grip: factor of the tyres' grip on road and ground; up to 1, also of the brakes and of the car's steer
            helper. The weather does not change it.
        exposure: exposure of the camera in stops: the light is multiplied by 2 ** exposure.
        noise: standard deviation of the camera's noise at mid grey, in levels of 255; shot noise, which
            grows with the light's square root, and read noise half and half.
        jpeg: JPEG quality of the images, 1 to 100; None for no compression.

    Raises:
        OptionError: A field has an unknown choice or is out of range.

    Example:
        >>> Conditions.named("dusk")
        Conditions(time_of_day='dusk')
        >>> Conditions(weather="rain", intensity=0.5, grip=0.7).changed(noise=4)
        Conditions(weather='rain', intensity=0.5, grip=0.7, noise=4.0)
    """

    weather: str = "clear"
    intensity: float = 1.0
    time_of_day: str = "day"
    sun_elevation: float | None = None
    sun_azimuth: float | None = None
    shadows: str = "cast"
    visibility: float | None = None
    road_wear: float = 0.0
    grip: float = 1.0
    exposure: float = 0.0
    noise: float = 0.0
    jpeg: int | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (value is None and item.default is None):
                object.__setattr__(self, item.name, _checked(item.name, value))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.changes().items())
        return f"Conditions({arguments})"

    @classmethod
    def named(cls, name: str) -> Conditions:
        """Conditions by name, see `NAMED`.

        Raises:
            OptionError: The name is unknown.
        """
        if not isinstance(name, str) or name not in NAMED:
            raise OptionError(f"no conditions {name!r}; there are {', '.join(NAMED)}")
        return NAMED[name]

    def sun(self, usual: tuple[float, float]) -> tuple[float, float]:
        """Elevation and azimuth of the sun.

        Args:
            usual: elevation and azimuth by day, rad.

        Returns:
            Elevation above the horizon and azimuth counter-clockwise from east, rad.
        """
        elevation, azimuth = TIMES[self.time_of_day] or usual
        return (
            elevation if self.sun_elevation is None else self.sun_elevation,
            azimuth if self.sun_azimuth is None else self.sun_azimuth,
        )

    def changed(self, **changes: Any) -> Conditions:
        """Copy with some fields changed.

        Raises:
            OptionError: A field is unknown, or a value is not allowed.
        """
        _check_names(changes, ())
        return replace(self, **changes)

    def changes(self) -> dict[str, Any]:
        """Fields that differ from Udacity's simulator; ``Conditions(**changes)`` restores the conditions."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != item.default
        }

    def to_dict(self) -> dict[str, float | str]:
        """Convert to a dict of numbers and strings; `from_dict` restores the conditions.

        Fields that are None are left out: Gymnasium's vector environments put infos into arrays, where
        None does not fit among numbers, but a missing entry is masked.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Conditions:
        """Make conditions from a dict, such as ``info["conditions"]``; missing fields have their default.

        Raises:
            OptionError: The argument is not a mapping, a field is unknown, or a value is not allowed.
        """
        if not isinstance(values, Mapping):
            raise OptionError(f"conditions must be a mapping such as {{'weather': 'rain'}}, got {values!r}")
        _check_names(values, ())
        return cls(**values)


FIELDS = tuple(item.name for item in fields(Conditions))
"""Names of the fields of `Conditions`; each is also a reset option of the environment."""

NAMED: Mapping[str, Conditions] = MappingProxyType(
    {
        "clear": Conditions(),
        "overcast": Conditions(weather="overcast"),
        "rain": Conditions(weather="rain", intensity=0.6),
        "heavy_rain": Conditions(weather="rain"),
        "mist": Conditions(weather="fog", intensity=0.3),
        "fog": Conditions(weather="fog", intensity=0.8),
        "snow": Conditions(weather="snow", intensity=0.7),
        "ice": Conditions(weather="ice", grip=0.3),
        "dawn": Conditions(time_of_day="dawn"),
        "noon": Conditions(time_of_day="noon"),
        "dusk": Conditions(time_of_day="dusk"),
        "night": Conditions(time_of_day="night"),
        "rainy_night": Conditions(weather="rain", intensity=0.6, time_of_day="night"),
        "low_sun": Conditions(sun_elevation=math.radians(9.0), sun_azimuth=math.radians(60.0)),
        "no_shadows": Conditions(shadows="none"),
        "worn_road": Conditions(road_wear=0.8),
        "dark": Conditions(exposure=-1.5),
        "bright": Conditions(exposure=0.6),
        "noisy": Conditions(noise=16.0),
        "compressed": Conditions(jpeg=12),
    }
)
"""Conditions by the names that evaluation suites use."""


@dataclass(frozen=True)
class Randomization:
    """Draw conditions for every episode, with the random generator of the episode.

    Args:
        named: names from `NAMED`; each episode draws one of them as a basis. None is "clear", with ranges.
        **ranges: fields of `Conditions`, each a value, a pair (low, high) of a uniform distribution,
            or for "weather", "time_of_day" and "shadows" a sequence of choices.

    Raises:
        OptionError: A name or a field is unknown, a value is not allowed, or neither names nor ranges are
            given.

    Example:
        >>> Randomization(("clear", "rain", "dusk"), exposure=(-0.5, 0.5), noise=(0, 8))
        Randomization(('clear', 'rain', 'dusk'), exposure=(-0.5, 0.5), noise=(0.0, 8.0))
    """

    named: tuple[str, ...] = ("clear",)
    ranges: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, named: Sequence[str] | str | None = None, **ranges: Any) -> None:
        if named is None and not ranges:
            raise OptionError(
                "this randomization draws nothing: give names, such as Randomization(('clear', 'rain', "
                "'dusk')), or ranges of fields, such as Randomization(exposure=(-1, 1), noise=(0, 8))"
            )
        named = "clear" if named is None else named
        names = (named,) if isinstance(named, str) else tuple(named)
        if not names:
            raise OptionError("a randomization needs at least one name, such as 'clear'")
        for name in names:
            Conditions.named(name)
        _check_names(ranges, ())
        checked = {name: _checked_range(name, ranges[name]) for name in FIELDS if name in ranges}
        object.__setattr__(self, "named", names)
        object.__setattr__(self, "ranges", MappingProxyType(checked))

    def __repr__(self) -> str:
        arguments = [repr(self.named)] if self.named != ("clear",) or not self.ranges else []
        arguments += [f"{name}={value!r}" for name, value in self.ranges.items()]
        return f"Randomization({', '.join(arguments)})"

    def __hash__(self) -> int:
        return hash((self.named, tuple(self.ranges.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.named, dict(self.ranges))

    def draw(self, generator: np.random.Generator) -> Conditions:
        """Draw conditions.

        Args:
            generator: source of randomness; the same state gives the same conditions.
        """
        base = NAMED[self.named[0 if len(self.named) == 1 else int(generator.integers(len(self.named)))]]
        drawn = {name: _draw(name, value, generator) for name, value in self.ranges.items()}
        return replace(base, **drawn)

    def plain(self) -> dict[str, Any]:
        """Convert to data for JSON; `read_conditions` restores the randomization."""
        return {"named": list(self.named), **{name: _plain(value) for name, value in self.ranges.items()}}


ConditionsLike: TypeAlias = "Conditions | Randomization | str | Mapping[str, Any] | None"
"""Conditions, a randomization, a name, or a mapping of fields to values or ranges."""


def read_conditions(given: ConditionsLike, **fields_: Any) -> Conditions | Randomization:
    """Convert an argument to conditions.

    Args:
        given: `Conditions`, a `Randomization`, a name of `NAMED`, or a mapping with the arguments of
            `Randomization`; None for the default.
        **fields_: fields of `Conditions` that replace those of ``given``, values or ranges.

    Returns:
        `Conditions` if nothing is random.

    Raises:
        OptionError: The type is wrong, or a field or value is not allowed.
    """
    if given is None:
        base: Conditions | Randomization = Conditions()
    elif isinstance(given, (Conditions, Randomization)):
        base = given
    elif isinstance(given, str):
        base = Conditions.named(given)
    elif isinstance(given, Mapping):
        _check_names(given, ("named",))
        base = Randomization(**given) if given else Conditions()
    else:
        raise OptionError(
            "conditions must be a name such as 'rain', Conditions, a Randomization or a mapping of their "
            f"fields, got {given!r}"
        )
    if isinstance(base, Conditions):
        ranges = {**base.changes(), **fields_}
        if not ranges:
            return base
        base = Randomization(**ranges)
    elif fields_:
        base = Randomization(base.named, **{**base.ranges, **fields_})
    fixed = len(base.named) == 1 and not any(isinstance(value, tuple) for value in base.ranges.values())
    return replace(NAMED[base.named[0]], **base.ranges) if fixed else base


def plain_conditions(conditions: Conditions | Randomization) -> dict[str, Any]:
    """Convert to data for JSON; `read_conditions` restores the conditions."""
    return conditions.plain() if isinstance(conditions, Randomization) else conditions.changes()


def _restored(named: tuple[str, ...], ranges: Mapping[str, Any]) -> Randomization:
    return Randomization(named, **ranges)


def _check_names(given: Mapping[str, Any], also: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in (*FIELDS, *also)]
    if unknown:
        raise OptionError(
            f"conditions have no field {', '.join(map(repr, unknown))}; there are {', '.join(FIELDS)}"
        )


def _checked_range(name: str, value: Any) -> Any:
    """Check a range: a value of a field, a pair of numbers, or a tuple of choices."""
    default = next(item.default for item in fields(Conditions) if item.name == name)
    if value is None and default is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        return _checked(name, value)
    if name in _CHOICES:
        if not value:
            raise OptionError(f"{name} needs at least one choice, got {value!r}")
        return tuple(_checked(name, choice) for choice in value)
    if len(value) != 2 or not all(map(is_number, value)):
        raise OptionError(f"{name} must be a number or a pair (low, high), got {value!r}")
    low, high = (_checked(name, end) for end in value)
    if low > high:
        raise OptionError(f"{name} must be a pair (low, high) with low <= high, got {value!r}")
    return low, high


def _draw(name: str, value: Any, generator: np.random.Generator) -> Any:
    if not isinstance(value, tuple):
        return value
    if name in _CHOICES:
        return value[int(generator.integers(len(value)))]
    low, high = value
    if name == "jpeg":
        return int(generator.integers(low, high + 1))
    return float(generator.uniform(low, high))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
