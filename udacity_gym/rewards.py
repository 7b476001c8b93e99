"""Reward terms: small named functions, and how they are put together.

A term looks at one `Transition` and returns a number in the unit its docstring gives. An
environment's reward is the weighted sum of the terms it was given by name::

    gym.make("UdacitySim-v0", rewards={**DEFAULT_REWARDS, "steering_change": -0.1})

A term of your own is a function under a name of your choice, added as it is::

    def haste(transition):
        return transition.after.speed * transition.dt

    gym.make("UdacitySim-v0", rewards={"haste": haste, "off_road": -100.0})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from udacity_gym.checks import check_number
from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry
from udacity_gym.telemetry import Telemetry, TrackState


@dataclass(frozen=True, slots=True)
class Transition:
    """One step, as a reward term sees it.

    Attributes:
        before: telemetry before the step.
        after: telemetry after it.
        dt: duration of the step in s.
    """

    before: Telemetry
    after: Telemetry
    dt: float


RewardTerm: TypeAlias = Callable[[Transition], float]


def progress(transition: Transition) -> float:
    """Distance driven along the track in this step in m, negative backwards.

    In any direction if the simulator does not report the position on the track.
    """
    if transition.after.track is None:
        return _driven(transition)
    return _track(transition.after).progress - _track(transition.before).progress


def off_lane(transition: Transition) -> float:
    """Distance driven in this step with a wheel over the edge line in m; 0 if not reported."""
    track = transition.after.track
    if track is None or not track.off_lane:
        return 0.0
    return 0.5 * abs(transition.before.speed + transition.after.speed) * transition.dt


def off_road(transition: Transition) -> float:
    """1 in the step that leaves the road, else 0; see `is_off_road`."""
    return float(is_off_road(transition.after) and not is_off_road(transition.before))


def deviation(transition: Transition) -> float:
    """Absolute cross-track error in m times the duration of the step in s."""
    after = transition.after
    cte = after.extra["cte"] if after.track is None and "cte" in after.extra else _track(after).cte
    return abs(float(cte)) * transition.dt


def steering_change(transition: Transition) -> float:
    """Absolute change of the steering command in this step, [0, 2]."""
    return abs(transition.after.steering - transition.before.steering)


def duration(transition: Transition) -> float:
    """Duration of the step in s."""
    return transition.dt


def is_off_road(telemetry: Telemetry) -> bool:
    """Whether the car has left the road.

    If the simulator does not report the position on the track, ``extra["offroad"]`` is used: the
    cross-track error, if the simulator sends one, and whether the car is stuck.
    """
    if telemetry.track is not None:
        return telemetry.track.offroad
    return bool(telemetry.extra.get("offroad", False))


_BUILT_IN = (progress, off_lane, off_road, deviation, steering_change, duration)

TERMS: Registry[RewardTerm] = Registry(
    "reward term",
    {term.__name__: term for term in _BUILT_IN},
    expected="a function of a Transition",
)
"""The terms that a weight can be given to by name."""

DEFAULT_REWARDS: Mapping[str, float | RewardTerm] = {"progress": 1.0, "off_lane": -2.0, "off_road": -100.0}
"""A metre forward earns 1; with a wheel over the line it costs 1; leaving the road costs 100."""


def compile_rewards(rewards: Mapping[str, float | RewardTerm]) -> Mapping[str, RewardTerm]:
    """Turn weights and functions into functions that return their share of the reward.

    Args:
        rewards: name of a built-in term to its weight, or any name to a function of a `Transition`.

    Returns:
        Name to function, in the same order.

    Raises:
        OptionError: A weight belongs to no built-in term, or is no finite number.
    """
    if not isinstance(rewards, Mapping):
        raise OptionError(f"rewards must be a mapping such as {dict(DEFAULT_REWARDS)}, got {rewards!r}")
    compiled: dict[str, RewardTerm] = {}
    for name, value in rewards.items():
        if callable(value):
            compiled[name] = value
            continue
        term = TERMS.find(name)
        compiled[name] = _Weighted(term, check_number(f"the weight of reward term {name!r}", value))
    return compiled


@dataclass(frozen=True, slots=True)
class _Weighted:
    term: RewardTerm
    weight: float

    def __call__(self, transition: Transition) -> float:
        return self.weight * self.term(transition)


def _driven(transition: Transition) -> float:
    before, after = transition.before, transition.after
    return 0.5 * abs(before.speed + after.speed) * (after.time - before.time)


def _track(telemetry: Telemetry) -> TrackState:
    if telemetry.track is None:
        raise OptionError(
            "this reward term needs the position on the track, which this simulator does not report"
        )
    return telemetry.track
