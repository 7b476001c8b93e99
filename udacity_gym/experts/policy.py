"""A policy shows how to drive: ours, an ONNX file, a model of Stable-Baselines3."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import ActionError, OptionError
from udacity_gym.experts.base import Forgetful, action
from udacity_gym.telemetry import MPH
from udacity_gym.wrappers import SpeedController, image_size_for

CTRL_DT = 1 / 15
"""s taken for the first step of an episode, whose length is not known yet."""


class PolicyExpert(Forgetful):
    """Anything with Stable-Baselines3's ``predict`` as an expert.

    It goes by what the policy says of itself, where it does: a policy with ``actions == ("steering",)``
    gets its throttle from a `SpeedController` at the policy's ``target_speed``; one with "speed" among its
    ``inputs`` gets the speed beside the images. What the policy remembers (``state``) is kept through the
    episode; a new one begins when the time in ``info`` goes back.

    Attributes:
        image: (height, width) px of the images that the policy looks at.
    """

    def __init__(self, policy: Any, deterministic: bool = True) -> None:
        """Wrap a policy.

        Args:
            policy: has ``predict(observation, state, episode_start, deterministic) -> (action, state)``.
            deterministic: whether it takes its best action instead of drawing one.

        Raises:
            OptionError: It has no ``predict``.
        """
        if not callable(getattr(policy, "predict", None)):
            raise OptionError(f"a policy needs predict(observation, ...), {type(policy).__name__} has none")
        self.policy = policy
        self.image_size = image_size_for(policy)
        self.deterministic = deterministic
        self._forget()

    def _forget(self) -> None:
        self._state: Any = None
        self._time = math.inf
        target = getattr(self.policy, "target_speed", None)
        self._speed_control = SpeedController(25 * MPH if target is None else target)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`.

        Raises:
            ActionError: The policy gives something else than (steering, throttle) or steering.
        """
        time, speed = float(info["time"]), float(info["speed"])
        starts = time == 0.0 or time < self._time
        dt = CTRL_DT if starts else time - self._time
        self._time = time
        if starts:
            self._state = None
            self._speed_control.reset()
        if "speed" in getattr(self.policy, "inputs", ()):
            observation = self._with_speed(observation, speed)
        chosen, self._state = self.policy.predict(
            observation,
            state=self._state,
            episode_start=np.array([starts]),
            deterministic=self.deterministic,
        )
        values = np.asarray(chosen, np.float64)
        if values.shape == (1,):
            return action(float(values[0]), self._speed_control(speed, dt))
        if values.shape != (2,):
            raise ActionError(
                f"a policy's action is (steering, throttle) or (steering,); {type(self.policy).__name__} "
                f"gave shape {values.shape}"
            )
        return action(float(values[0]), float(values[1]))

    def _with_speed(self, observation: Any, speed: float) -> Any:
        """The observation that `udacity_gym.wrappers.SpeedObservation` would give."""
        told = {"speed": np.array([speed], np.float32)}
        if isinstance(observation, Mapping):
            return {**observation, **told}
        name = "state" if np.ndim(observation) == 1 else getattr(self.policy, "camera", "center")
        return {name: observation, **told}
