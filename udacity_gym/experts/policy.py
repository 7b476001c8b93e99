"""Policies as experts: ours, ONNX files, models of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from udacity_gym.driving.decision import Action
from udacity_gym.driving.driver import PolicyDriver


class PolicyExpert:
    """Anything with Stable-Baselines3's ``predict`` as an expert.

    It drives like any policy, see `udacity_gym.driving.PolicyDriver`: a steering-only policy gets its
    throttle from a speed controller, a policy with a speed input gets the speed, and its state lasts an
    episode.

    Attributes:
        policy: the policy.
        image_size: (height, width) of the environment's images for the policy, px.
    """

    def __init__(self, policy: Any, deterministic: bool = True) -> None:
        """Wrap a policy.

        Args:
            policy: has ``predict(observation, state, episode_start, deterministic) -> (action, state)``.
            deterministic: whether it uses its best action instead of sampling one.

        Raises:
            OptionError: The policy has no ``predict``.
        """
        self.policy = policy
        self.deterministic = deterministic
        self._driver = PolicyDriver(policy, deterministic)
        self.image_size = self._driver.image_size

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Reset the state of the policy."""
        self._driver.reset(env, info, seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> Action:
        """Choose the next action, see `Expert`.

        Raises:
            ActionError: The policy's action is neither (steering, throttle) nor (steering,).
        """
        return self._driver.decide(observation, info).action

    def __getstate__(self) -> dict[str, Any]:
        return {"policy": self.policy, "deterministic": self.deterministic}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the state of an episode is not pickled
