"""Experts by name, for the command line and for settings in files."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from udacity_gym.errors import OptionError
from udacity_gym.experts.base import Expert
from udacity_gym.experts.pid import PID
from udacity_gym.experts.pure_pursuit import PurePursuit
from udacity_gym.experts.racing import Racing
from udacity_gym.world.track.track import Track

GROUP = "udacity_gym.experts"
"""Entry-point group in which other packages offer theirs: callables ``(track, **speed) -> Expert``."""

BUILT_IN: dict[str, Callable[..., Expert]] = {
    "pure_pursuit": PurePursuit,
    "racing": Racing,
    "pid": lambda track, **speed: PID(**speed),
}


def expert_names() -> list[str]:
    """Names that `make_expert` knows: the built-in ones, then those of other packages."""
    others = {entry.name for entry in entry_points(group=GROUP)} - set(BUILT_IN)
    return [*BUILT_IN, *sorted(others)]


def make_expert(name: str, track: str | Path | Track | None = None, speed: float | None = None) -> Expert:
    """Make an expert by its name.

    Args:
        name: one of `expert_names`.
        track: the track to drive on; None takes that of the environment.
        speed: m/s at most; None is the expert's own choice.

    Raises:
        OptionError: There is no such expert, or the speed is not positive.
        TrackError: There is no such track.
    """
    settings: dict[str, Any] = {} if speed is None else {"speed": speed}
    if name in BUILT_IN:
        return BUILT_IN[name](track, **settings)
    for entry in entry_points(group=GROUP, name=name):
        made: Expert = entry.load()(None if track is None else Track.load(track), **settings)
        return made
    raise OptionError(f"no expert {name!r}; there are {', '.join(expert_names())}")
