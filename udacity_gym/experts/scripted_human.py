"""A human at the wheel, by script: for experiments with human-gated learning that must repeat themselves."""

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
from udacity_gym.experts.base import EpisodicExpert, Expert


class ScriptedHuman(EpisodicExpert):
    """Watches, takes over when the car goes astray, corrects imperfectly, and hands back when it is over.

    It wants to take over where ``|cte|`` or ``|heading_error|`` is beyond a limit, does so a
    reaction time later, then drives as its expert would, with steering noise that wanders as hands do
    (an Ornstein-Uhlenbeck process), and lets go once the car has been back in the middle for a while.

    Called like an expert, it gives None while its hands are off the wheel. It reads "time", "cte" and
    "heading_error".

    Attributes:
        in_control: the hands are on the wheel.
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
        """Describe a person.

        Args:
            expert: how the person would drive with a perfect hand.
            cte: m beside the reference line from which on the person wants to take over.
            heading_error: rad off the track's direction, likewise.
            reaction_time: s from wanting to doing; 0.4 s is a driver who expects trouble.
            recovered_cte: m beside the line below which ...
            recovered_heading_error: ... and rad below which the car is back, ...
            calm: ... s for which it must have been, until the person lets go.
            noise: standard deviation of the steering, share of full lock.
            noise_time: s over which the noise changes.
            seed: of the noise, until `reset` gives another.

        Raises:
            OptionError: The expert is not callable, or a number is negative, not finite, or recovered is
                beyond the limit.
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
        self._since: float | None = None  # when trouble, or calm, began
        self._steering_noise = 0.0

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Take the hands off the wheel; a seed begins the noise anew."""
        super().reset(env, info, seed)
        reset_expert(self.expert, env, info, seed)
        if seed is not None:
            self._rng = np.random.default_rng(seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Watch, and drive if need be.

        Returns:
            (2,) float32 (steering, throttle) in [-1, 1]; None while the hands are off the wheel.
        """
        elapsed = self._notice_episode(info)
        time, cte, heading = float(info["time"]), abs(float(info["cte"])), abs(float(info["heading_error"]))
        if self.in_control:
            turn, wait = cte < self.recovered_cte and heading < self.recovered_heading_error, self.calm
        else:
            turn, wait = cte > self.cte or heading > self.heading_error, self.reaction_time
        # Once a person has seen trouble, it takes over even if the trouble passes in the meantime.
        if turn or (self._since is not None and not self.in_control):
            self._since = time if self._since is None else self._since
            if time - self._since >= wait - 1e-9:
                self.in_control, self._since = not self.in_control, None
        else:
            self._since = None
        if not self.in_control:
            return None
        kept = math.exp(-elapsed / self.noise_time)
        fresh = self._rng.normal(0.0, self.noise)
        self._steering_noise = kept * self._steering_noise + math.sqrt(1 - kept * kept) * fresh
        steering, throttle = self.expert(observation, info)
        return make_action(float(steering) + self._steering_noise, float(throttle))
