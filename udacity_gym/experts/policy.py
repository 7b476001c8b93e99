"""A policy shows how to drive: ours, an ONNX file, a model of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from udacity_gym.driving.decision import Action
from udacity_gym.driving.driver import PolicyDriver


class PolicyExpert:
    """Anything with Stable-Baselines3's ``predict`` as an expert.

    It drives as the policy does everywhere, see `udacity_gym.driving.PolicyDriver`: a steering-only policy
    gets its throttle from a speed controller, one that wants the speed is given it, and what it remembers
    is kept through the episode.

    Attributes:
        policy: the policy.
        image_size: (height, width) px of the images that the policy looks at.
    """

    def __init__(self, policy: Any, deterministic: bool = True) -> None:
        """Wrap a policy.

        Args:
            policy: has ``predict(observation, state, episode_start, deterministic) -> (action, state)``.
            deterministic: whether it takes its best action instead of drawing one.

        Raises:
            OptionError: It has no ``predict``.
        """
        self.policy = policy
        self.deterministic = deterministic
        self._driver = PolicyDriver(policy, deterministic)
        self.image_size = self._driver.image_size

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Forget the episode before."""
        self._driver.reset(env, info, seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> Action:
        """Choose the next action, see `Expert`.

        Raises:
            ActionError: The policy gives something else than (steering, throttle) or (steering,).
        """
        return self._driver.decide(observation, info).action

    def __getstate__(self) -> dict[str, Any]:
        return {"policy": self.policy, "deterministic": self.deterministic}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # what it remembers of an episode is no part of it
