"""Scripted human driver, for reproducible experiments with human-gated learning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import make_action
from udacity_gym.driving.driver import check_expert, reset_expert
from udacity_gym.experts.base import EpisodicExpert, Expert, course_error
from udacity_gym.world.physics.car import CarParameters

CAR = CarParameters()
"""The car whose sideslip in bends is no error of heading."""


class ScriptedHuman(EpisodicExpert):
    """Simulate a human who takes over when the car leaves its path, and hands back afterwards.

    When ``|cte|`` or ``|heading_error|``, without the sideslip of bends, exceeds a limit, it takes over after
    a reaction time. It then drives like its expert, with correlated steering noise (an Ornstein-Uhlenbeck
    process), and hands back when the car has been near the reference line for some time.

    It is called like an expert, and returns None while it is not in control. It reads "time", "cte" and
    "heading_error".

    Attributes:
        in_control: whether it drives.
    """

    def __init__(
        self,
        expert: Expert,
        *,
        cte: float = 1.5,
        heading_error: float = 0.3,
        reaction_time: float = 0.4,
        recovered_cte: float = 0.5,
        recovered_heading_error: float = 0.1,
        calm: float = 0.5,
        noise: float = 0.03,
        noise_time: float = 0.5,
        seed: int = 0,
    ) -> None:
        """Set the limits and the noise.

        Args:
            expert: expert that drives after a takeover.
            cte: cross-track error for a takeover, m.
            heading_error: heading error for a takeover, without the sideslip in bends, rad.
            reaction_time: time from exceeding a limit to the takeover, s; 0.4 s is an attentive driver.
            recovered_cte: cross-track error below which the car has recovered, m.
            recovered_heading_error: heading error below which the car has recovered, rad.
            calm: time that the car must have recovered before it hands back, s.
            noise: standard deviation of the steering noise, share of full lock.
            noise_time: correlation time of the noise, s.
            seed: seed of the noise, until `reset` gives another.

        Raises:
            OptionError: The expert is not callable, a number is negative or not finite, or a recovered limit
                is above the limit for a takeover.
        """
        check_expert(expert)
        self.expert = expert
        self.cte = check_number("cte", cte, positive=True)
        self.heading_error = check_number("heading_error", heading_error, positive=True)
        self.reaction_time = check_number("reaction_time", reaction_time, 0.0)
        self.recovered_cte = check_number("recovered_cte", recovered_cte, 0.0, cte)
        self.recovered_heading_error = check_number(
            "recovered_heading_error", recovered_heading_error, 0.0, heading_error
        )
        self.calm = check_number("calm", calm, 0.0)
        self.noise = check_number("noise", noise, 0.0)
        self.noise_time = check_number("noise_time", noise_time, positive=True)
        self._seed = seed
        self._forget()

    def _forget(self) -> None:
        super()._forget()
        self._rng = np.random.default_rng(self._seed)

    def _start_episode(self) -> None:
        self.in_control = False
        self._since: float | None = (
            None  # when the condition for a takeover, or for handing back, began to hold
        )
        self._steering_noise = 0.0

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Reset for a new episode, not in control; a seed restarts the noise."""
        super().reset(env, info, seed)
        reset_expert(self.expert, env, info, seed)
        if seed is not None:
            self._rng = np.random.default_rng(seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Choose the next action if in control.

        Returns:
            (2,) float32 (steering, throttle) in [-1, 1]; None while not in control.
        """
        elapsed = self._notice_episode(info)
        time, cte = float(info["time"]), abs(float(info["cte"]))
        heading = abs(course_error(info, CAR))  # without the sideslip of every bend
        if self.in_control:
            switch, delay = cte < self.recovered_cte and heading < self.recovered_heading_error, self.calm
        else:
            switch, delay = cte > self.cte or heading > self.heading_error, self.reaction_time
        # A human who has noticed a problem takes over even if it passes in the meantime.
        if switch or (self._since is not None and not self.in_control):
            self._since = time if self._since is None else self._since
            if time - self._since >= delay - 1e-9:
                self.in_control, self._since = not self.in_control, None
        else:
            self._since = None
        if not self.in_control:
            return None
        decay = math.exp(-elapsed / self.noise_time)
        new_noise = self._rng.normal(0.0, self.noise)
        self._steering_noise = decay * self._steering_noise + math.sqrt(1 - decay * decay) * new_noise
        steering, throttle = self.expert(observation, info)
        return make_action(float(steering) + self._steering_noise, float(throttle))
