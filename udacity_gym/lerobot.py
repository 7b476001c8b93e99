"""The environment in LeRobot's form, for LeRobot's policies and its EnvHub: `make_env`.

Observations and actions are those of the data sets that `udacity_gym.recording.convert` writes for LeRobot: a
policy that LeRobot has trained on a recording drives here. LeRobot turns ``pixels`` into
``observation.images.center`` and ``agent_pos`` into ``observation.state``. Needs nothing of LeRobot.

https://huggingface.co/docs/lerobot/envhub
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from udacity_gym.driving.policy_inputs import measurements_of

SUITE = "udacity"
TASK = "drive along the road"
"""The task in words, as in the data sets."""


class LeRobotEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Observations and actions of LeRobot's data sets.

    The observation is ``{"pixels": {camera: image}, "agent_pos": speed}``: images (height, width, 3) uint8
    RGB, and the speed, (1,) float32, m/s. The action is (3,) float32: steering, [-1, 1], positive turns
    right; throttle, [0, 1]; and brake, [0, 1]. ``info["is_success"]`` is true once all laps are driven.

    Args:
        env: an environment with cameras; its episodes end after ``max_laps``, if that is set.
    """

    task = TASK
    task_description = TASK

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        cameras = space.spaces if isinstance(space, spaces.Dict) else {"center": space}
        self._is_dict = isinstance(space, spaces.Dict)
        images = {name: box for name, box in cameras.items() if len(box.shape or ()) == 3}
        self._cameras = tuple(images)
        speed = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict({"pixels": spaces.Dict(images), "agent_pos": speed})
        low, high = np.array([-1, 0, 0], np.float32), np.ones(3, np.float32)
        self.action_space = spaces.Box(low, high, dtype=np.float32)

    @property
    def _max_episode_steps(self) -> int:
        """Steps after which LeRobot stops an episode: enough for a lap of the longest track at 4 m/s."""
        return 12_000

    def reset(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `gymnasium.Env.reset`."""
        observation, info = self.env.reset(**options)
        return self._convert(observation, info), {**info, "is_success": False}

    def step(
        self, action: NDArray[np.floating[Any]]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env.step`."""
        steering, throttle, brake = np.asarray(action, np.float32)
        command = np.clip(np.array([steering, throttle - brake], np.float32), -1.0, 1.0)
        observation, reward, terminated, truncated, info = self.env.step(command)
        finished = info.get("end_reason") == "max_laps"
        return (
            self._convert(observation, info),
            float(reward),
            terminated,
            truncated,
            {**info, "is_success": finished},
        )

    def _convert(self, observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        images = observation if self._is_dict else {"center": observation}
        return {
            "pixels": {name: images[name] for name in self._cameras},
            "agent_pos": measurements_of(info, ("speed",))["speed"],
        }


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None, **settings: Any
) -> dict[str, dict[int, gymnasium.vector.VectorEnv[Any, Any, Any]]]:
    """Make the vector environment that LeRobot evaluates on.

    Args:
        n_envs: number of cars.
        use_async_envs: a process for each car.
        cfg: LeRobot's configuration, whose ``task`` is the name of a track; None for the lake.
        settings: arguments of `udacity_gym.UdacityEnv`, such as ``track`` and ``conditions``.

    Returns:
        The vector environment by the name of the suite and the number of the task.
    """
    task = getattr(cfg, "task", None)
    track = {"track": task} if task else {}
    make = partial(_make_one, {"max_laps": 1, **track, **settings})
    kind = gymnasium.vector.AsyncVectorEnv if use_async_envs else gymnasium.vector.SyncVectorEnv
    vector = gymnasium.vector
    # LeRobot reads the success of an episode from final_info, which only this mode has (Gymnasium 1.1).
    mode: dict[str, Any] = (
        {"autoreset_mode": vector.AutoresetMode.SAME_STEP} if hasattr(vector, "AutoresetMode") else {}
    )
    return {SUITE: {0: kind([make] * n_envs, **mode)}}


def _make_one(settings: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    from udacity_gym import ENV_ID

    return LeRobotEnv(gymnasium.make(ENV_ID, disable_env_checker=True, **settings))
