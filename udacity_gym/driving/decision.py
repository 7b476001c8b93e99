"""What a driver decides at each step: `Decision`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import ActionError

Action: TypeAlias = NDArray[np.float32]
"""(2,) float32 (steering, throttle), each in [-1, 1]; positive steers right, a negative throttle brakes."""

POLICY, EXPERT, HUMAN = "policy", "expert", "human"
"""Who may drive, as `Decision.driver` and recordings say it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a driver does at one step, and what is worth keeping about it.

    Attributes:
        action: (2,) float32 (steering, throttle) in [-1, 1] to execute; in an environment with another
            action space, an action of that space.
        driver: who drives: "policy", "expert", "human", or the name of an expert.
        policy_action: (2,) what the policy would do; None if no policy was asked.
        expert_action: (2,) what the expert would do; None if no expert was asked or it had no answer.
        is_label: whether ``expert_action`` is a label to learn from.
        doubt: of an ensemble of policies, how far its members disagree, at least 0; None without one.
        is_idle: whether the human has the wheel, but touches nothing and would soon hand back by that. Keys
            that are released may mean "straight on" or "I am done", so this is a step to learn from only if
            the human touches the controls again before the policy drives or the episode ends, see
            `confirms_idle`. `EpisodeCounter` and `udacity_gym.recording.Recorder` change it to a label then.
        notes: what else to keep with the frame, by name, such as ``intervention``: whether the expert or the
            human drives in place of the policy.
    """

    action: NDArray[Any]
    driver: str
    policy_action: NDArray[Any] | None = None
    expert_action: NDArray[Any] | None = None
    is_label: bool = False
    doubt: float | None = None
    is_idle: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> NDArray[Any] | None:
        """The expert's action if it is a label, else None."""
        return self.expert_action if self.is_label else None

    @property
    def confirms_idle(self) -> bool:
        """Whether the idle steps just before become labels, because the human touches the controls again."""
        return self.driver == HUMAN and not self.is_idle

    def as_notes(self) -> dict[str, Any]:
        """What a recording keeps of it beside the action, by name.

        An idle step has no label, and ``skipped``, so that learners leave it out.
        """
        entries = {
            "driver": self.driver,
            "policy_action": self.policy_action,
            "expert_action": None if self.is_idle else self.label,
            "skipped": True if self.is_idle else None,
            "doubt": self.doubt,
        }
        return {**{name: value for name, value in entries.items() if value is not None}, **self.notes}


def make_action(steering: float, throttle: float) -> Action:
    """Pack an action: (2,) float32, clipped to [-1, 1]."""
    return np.clip(np.array([steering, throttle], dtype=np.float32), -1.0, 1.0)


def check_action(values: Any, giver: str) -> Action:
    """Make an action of what somebody gave.

    Args:
        values: two finite numbers, (steering, throttle).
        giver: who gave it, for the message, such as "the expert".

    Returns:
        (2,) float32, not clipped.

    Raises:
        ActionError: It is something else.
    """
    try:
        action = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise ActionError(f"{giver} must give two numbers (steering, throttle), got {values!r}") from None
    if action.shape != (2,) or not np.isfinite(action).all():
        hint = "; for steering alone drive in SpeedControl(env)" if action.shape == (1,) else ""
        raise ActionError(f"{giver} must give two finite numbers (steering, throttle), got {values!r}{hint}")
    return action
