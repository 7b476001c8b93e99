"""Suites: which drives a policy is judged by, versioned by name, so that figures can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from udacity_gym.checks import check_integer, check_number
from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.evaluation.result import Criterion
from udacity_gym.registry import Registry
from udacity_gym.world.track.track import Track


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where and in what conditions.

    Attributes:
        track: name of a track, or path of its file.
        direction: "forward" or "reverse".
        conditions: name, see `udacity_gym.conditions.NAMED`.
    """

    track: str = "lake"
    direction: str = "forward"
    conditions: str = "clear"

    def __str__(self) -> str:
        words = [self.track]
        words += ["in reverse"] if self.direction == "reverse" else []
        words += [self.conditions] if self.conditions != "clear" else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Case:
    """One drive of a suite.

    Attributes:
        scenario: where and in what conditions.
        seed: of the environment; draws where the car starts, too.
        intervene: what the car is put back for.
    """

    scenario: Scenario
    seed: int
    intervene: Criterion

    def __str__(self) -> str:
        where = re.sub(r"[^\w]+", "-", f"{self.scenario.track} {self.scenario.direction}")
        return f"{where.strip('-')}-{self.scenario.conditions}-{self.intervene}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Suite:
    """Drives that a policy is judged by: every scenario from every seed's start.

    A suite never changes. A changed suite gets a new version number.

    Attributes:
        name: ends with its version, such as "lake-v1".
        scenarios: where and in what conditions.
        seeds: of the environment; each starts somewhere else.
        intervene: what the car is put back for; with several, each drive is made for each of them.
            "edge" gives autonomy, "road" falls and what the car does when nobody helps.
        laps: of each drive.
        offset: m, the car starts as far beside the reference line at most.
        max_seconds: s after which a drive ends; None allows for a mean speed of 3 m/s.
        about: one line for people.

    Raises:
        OptionError: A name, a number or a scenario is not possible.
    """

    name: str
    scenarios: tuple[Scenario, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    intervene: tuple[Criterion, ...] = ("edge", "road")
    laps: int = 1
    offset: float = 0.5
    max_seconds: float | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+-v\d+", self.name):
            raise OptionError(f"a suite's name ends with its version, such as 'rain-v1', got {self.name!r}")
        for name, values, what in (
            ("scenarios", self.scenarios, Scenario),
            ("seeds", self.seeds, int),
            ("intervene", self.intervene, str),
        ):
            if not values or len(set(values)) != len(values) or not all(isinstance(v, what) for v in values):
                raise OptionError(f"{name} must be different ones, one at least, got {values!r}")
        for seed in self.seeds:
            check_integer("seed", seed, 0, 2**63 - 1)
        for criterion in self.intervene:
            if criterion not in get_args(Criterion):
                raise OptionError(f"intervene must be of {', '.join(get_args(Criterion))}, got {criterion!r}")
        check_integer("laps", self.laps, 1)
        check_number("offset", self.offset, 0.0)
        if self.max_seconds is not None:
            check_number("max_seconds", self.max_seconds, positive=True)

    def check(self) -> None:
        """Find tracks, directions and conditions that there are not before any drive begins.

        Raises:
            OptionError: There are no such conditions, or there is no such direction.
            TrackError: There is no such track.
        """
        for scenario in self.scenarios:
            Conditions.named(scenario.conditions)
            Track.load(scenario.track).facing(scenario.direction)

    def __iter__(self) -> Iterator[Case]:
        for scenario in self.scenarios:
            for intervene in self.intervene:
                for seed in self.seeds:
                    yield Case(scenario, seed, intervene)

    def __len__(self) -> int:
        return len(self.scenarios) * len(self.intervene) * len(self.seeds)

    def start(self, track: Track) -> dict[str, Any]:
        """Where the cars start on a track: anywhere on the lap, standing; options of the reset."""
        line = track.reference_offset
        return {"s": "random", "offset": (line - self.offset, line + self.offset)}


def scenarios(
    tracks: Sequence[str] = ("lake",),
    directions: Sequence[str] = ("forward",),
    conditions: Sequence[str] = ("clear",),
) -> tuple[Scenario, ...]:
    """Every track in every direction in all conditions."""
    return tuple(
        Scenario(track, direction, condition)
        for track in tracks
        for direction in directions
        for condition in conditions
    )


WEATHER = ("clear", "overcast", "rain", "mist", "fog", "snow", "dawn", "dusk", "night", "low_sun")
CAMERA = ("clear", "worn_road", "dark", "bright", "noisy", "compressed")

BUILT_IN = (
    Suite("lake-v1", scenarios(), about="the lake, from five places"),
    Suite("jungle-v1", scenarios(("jungle",)), about="the jungle, from five places"),
    Suite("udacity-v1", scenarios(("lake", "jungle")), about="both of Udacity's tracks"),
    Suite(
        "tracks-v1",
        scenarios(("lake", "jungle", "mountain"), ("forward", "reverse")),
        seeds=(0, 1, 2),
        about="all tracks in both directions",
    ),
    Suite(
        "weather-v1",
        scenarios(conditions=WEATHER),
        seeds=(0, 1, 2),
        about="the lake in all weathers and at all times of day",
    ),
    Suite(
        "camera-v1",
        scenarios(conditions=CAMERA),
        seeds=(0, 1, 2),
        about="the lake through worse cameras, and on a worn road",
    ),
    Suite(
        "smoke-v1",
        scenarios(),
        seeds=(0, 1),
        max_seconds=10.0,
        about="ten seconds on the lake, to see whether everything works",
    ),
)

SUITES: Registry[Suite] = Registry(
    "suite",
    {suite.name: suite for suite in BUILT_IN},
    expected="a Suite of that name",
    group="udacity_gym.suites",
    fits=lambda name, item: isinstance(item, Suite) and item.name == name,
)
"""Suites by name. A suite never changes; a changed suite gets a new version number."""
