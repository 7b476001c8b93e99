"""Suites: fixed lists of drives, with versions, that make results comparable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from udacity_gym.checks import check_integer, check_number
from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.evaluation.result import Criterion
from udacity_gym.registry import Registry
from udacity_gym.world.track.track import Track

CLEAR = "clear"
"""Conditions of Udacity's simulator, and of the control arm of a suite of other conditions."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Track, direction and conditions of a drive.

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
        scenario: track, direction and conditions.
        seed: seed of the environment, which also decides where the car starts.
        intervene: criterion for putting the car back.
    """

    scenario: Scenario
    seed: int
    intervene: Criterion

    def __str__(self) -> str:
        track_and_direction = re.sub(r"[^\w]+", "-", f"{self.scenario.track} {self.scenario.direction}")
        return f"{track_and_direction.strip('-')}-{self.scenario.conditions}-{self.intervene}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Suite:
    """A fixed list of drives to evaluate policies: every scenario with every seed.

    A suite never changes. A changed suite gets a new version number.

    Attributes:
        name: ends with its version, such as "lake-v1".
        scenarios: tracks, directions and conditions.
        seeds: seeds of the environment; each has another start position.
        intervene: criteria for putting the car back; each drive is made once for each criterion.
            "edge" gives autonomy, "road" gives falls and the driving without help.
        laps: laps of each drive.
        offset: maximum distance of the start from the reference line, m.
        max_seconds: time limit of a drive, s; None is enough for a mean speed of 3 m/s.
        about: description in one line.

    Raises:
        OptionError: A name, a number or a scenario is invalid.
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
        """Check that all tracks, directions and conditions exist, before any drive begins.

        Raises:
            OptionError: The conditions or the direction do not exist.
            TrackError: The track does not exist.
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

    def control_of(self, scenario: Scenario) -> Scenario | None:
        """The control of a scenario: the same track and direction in clear conditions, from the same starts.

        Returns:
            A scenario of this suite; None if it has none, or for a control itself.
        """
        control = replace(scenario, conditions=CLEAR)
        return control if control != scenario and control in self.scenarios else None

    def start(self, track: Track) -> dict[str, Any]:
        """Options of the reset: a random position on the lap, standing still."""
        line = track.reference_offset
        return {"s": "random", "offset": (line - self.offset, line + self.offset)}


def scenarios(
    tracks: Sequence[str] = ("lake",),
    directions: Sequence[str] = ("forward",),
    conditions: Sequence[str] = ("clear",),
) -> tuple[Scenario, ...]:
    """All combinations of tracks, directions and conditions."""
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
