"""`choose_throttle`: whether a policy learns the throttle, or a controller keeps its speed."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from algorithms.base import Policy
from algorithms.training.config import TrainingConfig
from algorithms.training.data import PEDALS, Frames

Config = TypeVar("Config", bound=TrainingConfig)

MOVING = 1.0
"""m/s above which a car counts as moving."""
MANY_RELEASED = 0.5
"""Share of the moving rows without throttle from which on the throttle is not learned. Losses such as Huber's
settle near the median of what can't be predicted, and a median of 0 is a car that stands."""


def choose_throttle(
    config: Config, frames: Frames | None, initial: Policy | None = None
) -> tuple[Config, str | None]:
    """Replace ``throttle="auto"`` by what suits the data.

    A person on a keyboard taps the throttle: most of the time it is released, although the car moves. An
    image does not tell when the next tap is due, so a policy learns not to press at all, and the car stands.
    Such recordings get ``throttle="speed_control"``. It also follows from a given ``target_speed``. A network
    that gets the speed can tell when to press, so it learns the throttle in any case.

    Args:
        config: the settings.
        frames: the rows to train on; None if they are not known yet.
        initial: a policy to start from, whose actions are kept.

    Returns:
        The settings with a throttle that is chosen, and why it was chosen; None if the settings had chosen.
    """
    if config.throttle != "auto":
        return config, None
    if initial is not None:
        learned = "throttle" in getattr(initial, "actions", ("throttle",))
        throttle: Literal["learned", "speed_control"] = "learned" if learned else "speed_control"
        return replace(config, throttle=throttle), _explain(throttle, "as the initial policy")
    if config.target_speed is not None:
        return replace(config, throttle="speed_control"), _explain("speed_control", "target_speed is given")
    unrecorded = [pedal for pedal in PEDALS if frames is not None and frames.logs_without(pedal)]
    if unrecorded:
        reason = f"the {unrecorded[0]} was not recorded everywhere"
        return replace(config, throttle="speed_control"), _explain("speed_control", reason)
    if "speed" in config.inputs:
        return replace(config, throttle="learned"), _explain("learned", "the network gets the speed")
    if frames is None:
        return replace(config, throttle="learned"), _explain("learned", "there are no recordings")
    moving = (frames.speed > MOVING) & (frames.weight > 0.0)
    if not moving.any():
        return replace(config, throttle="learned"), _explain("learned", "the recordings have no speed")
    released = float(np.average(frames.throttle[moving] <= 0.0, weights=frames.weight[moving]))
    share = f"the throttle is released in {released:.0%} of the rows in which the car moves"
    if released <= MANY_RELEASED:
        return replace(config, throttle="learned"), _explain("learned", share)
    reason = f"{share}, as with a keyboard; a policy that learned this would stand still"
    return replace(config, throttle="speed_control"), _explain("speed_control", reason)


def _explain(throttle: str, reason: str) -> str:
    return f'throttle="{throttle}": {reason}'
