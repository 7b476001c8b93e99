"""Experts by name, for the command line and for settings in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from udacity_gym.experts.base import Expert
from udacity_gym.experts.pid import PID
from udacity_gym.experts.pure_pursuit import PurePursuit
from udacity_gym.experts.racing import Racing
from udacity_gym.registry import Registry
from udacity_gym.world.track.track import Track

ExpertMaker: TypeAlias = Callable[..., Expert]
"""What makes an expert: a callable ``(track, **speed) -> Expert``."""

EXPERTS: Registry[ExpertMaker] = Registry(
    "expert",
    {"pure_pursuit": PurePursuit, "racing": Racing, "pid": lambda track, **speed: PID(**speed)},
    expected="a callable (track, **speed) -> Expert",
    group="udacity_gym.experts",
)
"""Experts by name; `make_expert` makes one."""


def make_expert(name: str, track: str | Path | Track | None = None, speed: float | None = None) -> Expert:
    """Make an expert by its name.

    Args:
        name: a name of `EXPERTS`.
        track: the track to drive on; None takes that of the environment.
        speed: greatest speed in m/s; None is the expert's own choice.

    Raises:
        OptionError: There is no such expert, or the speed is not positive.
        TrackError: There is no such track.
    """
    settings: dict[str, Any] = {} if speed is None else {"speed": speed}
    return EXPERTS.find(name)(None if track is None else Track.load(track), **settings)
