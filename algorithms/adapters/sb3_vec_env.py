"""Vector environment for Stable-Baselines3: many cars in one process, rendered together.

envs = UdacityVecEnv(8, image_size=(84, 84), max_seconds=60)
model = PPO("CnnPolicy", envs)
"""

from __future__ import annotations

from udacity_gym.installation import missing

try:
    from stable_baselines3.common.env_util import is_wrapped
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise missing("stable_baselines3", __name__, error=error) from error

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from udacity_gym.vector import FINAL_OBSERVATION, UdacityVectorEnv

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

    from udacity_gym.telemetry import Image


class UdacityVecEnv(VecEnv):
    """Many cars in one process for models of Stable-Baselines3.

    It keeps SB3's conventions: cars whose episode has ended start the next one at once; their info has the
    last observation as "terminal_observation", and "TimeLimit.truncated" says whether time or laps were up,
    so that the critic's value of that observation counts. Wrap it in SB3's ``VecMonitor`` for statistics
    of episodes.

    Args:
        num_envs: number of cars.
        **arguments: arguments of `UdacityEnv`, the same for all.

    Attributes:
        cars: the vector environment inside.

    Raises:
        OptionError: An argument is unknown or out of range.
    """

    def __init__(self, num_envs: int, **arguments: Any) -> None:
        self.cars = UdacityVectorEnv(num_envs, autoreset_mode="SameStep", **arguments)
        super().__init__(num_envs, self.cars.single_observation_space, self.cars.single_action_space)
        self.metadata = self.cars.metadata

    def reset(self) -> VecEnvObs:
        """Start all episodes, with the seeds and options that were set by `seed` and `set_options`.

        Returns:
            (num_envs, ...) observations, fresh arrays; infos are in ``reset_infos``.
        """
        observations, _ = self.cars.reset(
            seed=list(self._seeds), options=[options or None for options in self._options]
        )
        self.reset_infos = list(self.cars.infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take the actions of the next step, (num_envs, 2) float32 (steering, throttle)."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Drive all cars for ``ctrl_dt`` seconds.

        Returns:
            Observations, (num_envs,) float32 rewards, (num_envs,) bool whether an episode ended, infos.
        """
        observations, rewards, terminated, truncated, gathered = self.cars.step(self._actions)
        ended = terminated | truncated
        infos = []
        for i, info in enumerate(self.cars.infos):
            car_info = {**info, "TimeLimit.truncated": bool(truncated[i] and not terminated[i])}
            if ended[i]:
                car_info["terminal_observation"] = gathered[FINAL_OBSERVATION][i]
                self.reset_infos[i] = self.cars.reset_infos[i]
            infos.append(car_info)
        return observations, rewards.astype(np.float32), ended, infos

    def close(self) -> None:
        """Close the simulators."""
        self.cars.close()

    def get_images(self) -> Sequence[Image | None]:
        """Rendered images of all cars' environments."""
        return [env.render() for env in self.cars.envs]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Read an attribute of some cars' environments."""
        return [getattr(self.cars.envs[i], attr_name) for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of some cars' environments."""
        for i in self._get_indices(indices):
            setattr(self.cars.envs[i], attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of some cars' environments."""
        return [
            getattr(self.cars.envs[i], method_name)(*method_args, **method_kwargs)
            for i in self._get_indices(indices)
        ]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether some cars' environments have a wrapper; they have none."""
        return [is_wrapped(self.cars.envs[i], wrapper_class) for i in self._get_indices(indices)]
