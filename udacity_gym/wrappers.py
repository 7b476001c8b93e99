"""Wrappers: `SpeedControl`, `MeasurementObservation`, `SpeedObservation`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from udacity_gym.driving.policy_inputs import measurements_of, speed_for_throttle
from udacity_gym.driving.speed import DEFAULT_SPEED, GAINS, SpeedController
from udacity_gym.driving.throttle_laws import ThrottleLaw
from udacity_gym.errors import ActionError, OptionError


class SpeedControl(
    gymnasium.Wrapper[Any, NDArray[np.float32], Any, NDArray[np.float32]], RecordConstructorArgs
):
    """Keep the speed with a controller; the agent only steers.

    The action space becomes ``Box(-1, 1, (1,), float32)``: steering, positive turns right. The throttle
    comes from a `SpeedController`, or from a throttle law; it is reset in every episode. ``info`` is the
    wrapped environment's, throttle and brake included.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        target_speed: float = DEFAULT_SPEED,
        *,
        throttle_law: ThrottleLaw | None = None,
        **gains: float,
    ) -> None:
        """Wrap an environment.

        Args:
            env: environment with (steering, throttle) as its action, "speed" in its info, and the seconds of
                a step as its attribute ``ctrl_dt``.
            target_speed: target speed, m/s, 25 mph by default; the top speed of the car is 30 mph.
            throttle_law: chooses the throttle in place of the `SpeedController`, see
                `udacity_gym.driving.throttle_laws`.
            gains: ``proportional``, ``integral``, ``brake_margin`` of `SpeedController`.

        Raises:
            OptionError: A number is negative or not finite, a gain has another name, or the environment's
                action is not (steering, throttle) or it has no ``ctrl_dt``.
        """
        arguments: dict[str, Any] = {"target_speed": target_speed, "throttle_law": throttle_law, **gains}
        RecordConstructorArgs.__init__(self, **arguments)
        gymnasium.Wrapper.__init__(self, env)
        if env.action_space.shape != (2,):
            raise OptionError(
                f"SpeedControl wraps an environment whose action is (steering, throttle); "
                f"this one's action space is {env.action_space}"
            )
        unknown = sorted(set(gains) - set(GAINS))
        if unknown:
            raise OptionError(f"unknown gain {', '.join(map(repr, unknown))}; there are {', '.join(GAINS)}")
        self.controller = SpeedController(target_speed, **gains)
        self.throttle_law = copy.deepcopy(throttle_law)  # it remembers: each environment has its own
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        dt = _attribute(env, "ctrl_dt")
        if dt is None:
            raise OptionError(
                "SpeedControl wraps an environment that says how long a step takes, and this one has no "
                "ctrl_dt; set it, such as env.unwrapped.ctrl_dt = 1 / 15 for 15 steps per second"
            )
        self._dt = float(dt)
        self._speed: float | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode and reset the controller.

        Raises:
            ObservationError: The simulator does not report the speed.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        self.controller.reset()
        if self.throttle_law is not None:
            self.throttle_law.reset()
        self._speed = speed_for_throttle(info)
        return observation, info

    def step(self, action: NDArray[np.float32]) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one control step.

        Args:
            action: (1,) float32 steering.

        Raises:
            ActionError: The action has another shape; the environment itself checks for NaN.
            ObservationError: The simulator does not report the speed.
            ResetNeeded: `reset` was never called.
        """
        if self._speed is None:
            raise ResetNeeded("call reset() before the first step()")
        shape = np.shape(action)
        if shape != (1,):
            raise ActionError(
                f"with SpeedControl an action has shape (1,): the steering alone; this one has shape {shape}"
            )
        if self.throttle_law is not None:
            throttle = self.throttle_law(float(np.clip(action[0], -1.0, 1.0)), self._speed)
            throttle = float(np.clip(throttle, -1.0, 1.0))
        else:
            throttle = self.controller(self._speed, self._dt)
        command = np.array([action[0], throttle], dtype=np.float32)
        observation, reward, terminated, truncated, info = self.env.step(command)
        self._speed = speed_for_throttle(info)
        return observation, reward, terminated, truncated, info


class MeasurementObservation(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Add measurements from ``info`` to the observation.

    The observation becomes a `Dict`: the images by their cameras' names (the state vector as "state", if
    the environment has no camera), and each measurement, (1,) float32.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], names: Sequence[str]) -> None:
        """Wrap an environment.

        Args:
            env: environment with these measurements in its info.
            names: entries of `udacity_gym.driving.policy_inputs.MEASUREMENTS`.

        Raises:
            OptionError: Its observation has a measurement already.
        """
        RecordConstructorArgs.__init__(self, names=tuple(names))
        gymnasium.Wrapper.__init__(self, env)
        space = env.observation_space
        self._camera, self._names = "center", tuple(names)
        if isinstance(space, spaces.Dict):
            subspaces = dict(space.spaces)
        else:
            cameras = _attribute(env, "cameras")
            if cameras is None:  # not a UdacityEnv
                cameras = () if space.shape is not None and len(space.shape) == 1 else ("center",)
            self._camera = cameras[0] if cameras else "state"
            subspaces = {self._camera: space}
        for name in self._names:
            if name in subspaces:
                raise OptionError(
                    f"the observation has a {name} already: {type(self).__name__} wraps only once"
                )
            subspaces[name] = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict(subspaces)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Raises:
            ObservationError: The simulator does not report a measurement.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_measurements(observation, info), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one control step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with_measurements(observation, info), reward, terminated, truncated, info

    def _with_measurements(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        is_dict = isinstance(self.env.observation_space, spaces.Dict)
        return {
            **(observation if is_dict else {self._camera: observation}),
            **measurements_of(info, self._names),
        }


class SpeedObservation(MeasurementObservation):
    """Add the speed to the observation, see `MeasurementObservation`.

    "speed" is (1,) float32 in m/s forwards.

    Example:
        >>> env = SpeedObservation(gymnasium.make("UdacitySim-v0"))     # doctest: +SKIP
        >>> env.reset()[0]["speed"]                                     # doctest: +SKIP
        array([0.], dtype=float32)
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Wrap an environment.

        Args:
            env: environment with "speed" in its info.

        Raises:
            OptionError: Its observation has a speed already.
        """
        RecordConstructorArgs.__init__(self)  # the first call counts
        super().__init__(env, ("speed",))


def _attribute(env: gymnasium.Env[Any, Any], name: str) -> Any:
    """An attribute of an environment or of what it wraps; None if there is none."""
    try:
        return env.get_wrapper_attr(name)
    except AttributeError:
        return None


def fit_to(policy: object, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Add the wrappers that a policy needs to an environment.

    Args:
        policy: the policy. ``policy.actions == ("steering",)`` gets `SpeedControl` at its
            ``target_speed`` or with its ``throttle_law``; ``policy.inputs`` get `MeasurementObservation`.
            Without these attributes, the environment is returned unchanged.
        env: a UdacityEnv, wrapped or not; a wrapper is not added twice.

    Returns:
        The environment to drive in.
    """
    if tuple(getattr(policy, "actions", ())) == ("steering",) and env.action_space.shape == (2,):
        target, law = getattr(policy, "target_speed", None), getattr(policy, "throttle_law", None)
        env = SpeedControl(env, DEFAULT_SPEED if target is None else target, throttle_law=law)
    present = env.observation_space.spaces if isinstance(env.observation_space, spaces.Dict) else ()
    missing = tuple(name for name in getattr(policy, "inputs", ()) if name not in present)
    if missing == ("speed",):
        return SpeedObservation(env)
    return MeasurementObservation(env, missing) if missing else env
