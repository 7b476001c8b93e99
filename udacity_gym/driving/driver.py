"""`Driver`, the interface of all that drives, and `as_driver`, which converts policies and experts to it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.decision import EXPERT, POLICY, Action, Decision, check_action
from udacity_gym.driving.policy_inputs import (
    cameras_for,
    image_size_for,
    measurements_of,
    speed_for_throttle,
)
from udacity_gym.driving.speed import DEFAULT_SPEED, SpeedController
from udacity_gym.driving.throttle_laws import ThrottleLaw
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.telemetry import CTRL_DT

FALLBACK_DT = CTRL_DT
"""s of the first step of an episode in an environment whose ``info`` has no "ctrl_dt"."""


@runtime_checkable
class Driver(Protocol):
    """Chooses the actions: a policy, an expert, a human, or a combination of them.

    `udacity_gym.driving.drive` calls `reset` at the start of every episode and `decide` at every step.
    """

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare for an episode that has just begun.

        Args:
            env: the environment to drive in, already reset.
            info: what its ``reset`` returned beside the observation.
            seed: of all randomness of the driver. It is given only where a rollout or a case of a suite
                begins; None goes on with the present generator, so that noise does not repeat itself in
                each episode.
        """
        ...

    def decide(self, observation: Any, info: Mapping[str, Any], /) -> Decision | None:
        """Choose the next action.

        Args:
            observation: what the environment returned.
            info: what it returned beside it, see `udacity_gym.telemetry.Info`.

        Returns:
            The decision; None pauses the simulation, for example while a human pauses.
        """
        ...


@runtime_checkable
class Predictor(Protocol):
    """Anything with the ``predict`` of Stable-Baselines3."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.float32], Any]:
        """Choose an action; returns (action, state)."""


ExpertFunction: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]
"""``(observation, info) -> (steering, throttle)``, or None while the hands are off the wheel."""


class EpisodeClock:
    """Detects the start of an episode by the time, for drivers whose `Driver.reset` is not called.

    Other libraries, and loops written by users, call an expert with ``(observation, info)`` only. An episode
    has begun when the simulated time is 0 or has gone back.

    Attributes:
        elapsed: s since the last `update`; 0 where an episode begins.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Let the next `update` begin an episode."""
        self._time: float | None = None
        self.elapsed = 0.0

    def update(self, info: Mapping[str, Any]) -> bool:
        """Update with the present time.

        Args:
            info: with "time", s since the episode began.

        Returns:
            Whether an episode has begun.
        """
        time = float(info["time"])
        begins = self._time is None or time == 0.0 or time < self._time
        self.elapsed = 0.0 if self._time is None or begins else time - self._time
        self._time = time
        return begins


class PolicyDriver:
    """Driver that executes the actions of a policy.

    These attributes of the policy are used if present:

    - ``actions``: with ``("steering",)``, the policy's ``throttle_law`` controls the throttle, see
      `udacity_gym.driving.throttle_laws`; without one a `SpeedController`, at the policy's ``target_speed``
      or, without that too, at `DEFAULT_SPEED`, 25 mph;
    - ``inputs``: measurements such as the speed are taken from ``info`` if the observation lacks them;
    - ``predict_with_doubt``, which ensembles have, gives the doubt as well.

    The policy's ``state`` is kept through the episode; ``episode_start`` says where an episode begins.

    Attributes:
        policy: the policy.
        deterministic: whether the policy takes its best action instead of sampling one.
        actions: what the policy itself controls: ("steering", "throttle") or ("steering",).
    """

    name = POLICY

    def __init__(self, policy: Any, deterministic: bool = True) -> None:
        """Wrap a policy.

        Args:
            policy: has ``predict(observation, state, episode_start, deterministic) -> (action, state)``.
            deterministic: whether it takes its best action instead of sampling one.

        Raises:
            OptionError: It has no ``predict``.
        """
        if not callable(getattr(policy, "predict", None)):
            raise OptionError(f"a policy needs predict(observation, ...), {type(policy).__name__} has none")
        self.policy = policy
        self.deterministic = deterministic
        self.actions: tuple[str, ...] = tuple(getattr(policy, "actions", ("steering", "throttle")))
        target_speed = getattr(policy, "target_speed", None)
        # A throttle law has a state, so each driver has a copy.
        self._throttle_law: ThrottleLaw | None = copy.deepcopy(getattr(policy, "throttle_law", None))
        self._speed_controller = SpeedController(DEFAULT_SPEED if target_speed is None else target_speed)
        self._camera: str = getattr(policy, "camera", "center")
        self._completes_action = True
        self._clock = EpisodeClock()
        self._reset_state()

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) px of the images that the policy looks at."""
        return image_size_for(self.policy)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras whose images the policy takes."""
        return cameras_for(self.policy)

    def _reset_state(self) -> None:
        self._state: Any = None
        self._speed_controller.reset()
        if self._throttle_law is not None:
            self._throttle_law.reset()

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare for an episode, see `Driver.reset`; the seed has no effect on a policy."""
        self._clock.reset()
        # The action of a wrapped environment may be something else than (steering, throttle).
        self._completes_action = env.action_space.shape == (2,)
        cameras = tuple(getattr(env.unwrapped, "cameras", ()))
        self._camera = cameras[0] if len(cameras) == 1 else getattr(self.policy, "camera", "center")

    def decide(self, observation: Any, info: Mapping[str, Any]) -> Decision:
        """Ask the policy, see `Driver.decide`.

        Raises:
            ActionError: The policy gives something else than (steering, throttle) or (steering,).
            ObservationError: The policy takes a measurement that ``info`` does not have, or it only steers
                and ``info`` has no speed for the throttle.
        """
        inputs, episode_start = self.prepare(observation, info)
        chosen, doubt = self._predict(inputs, np.array([episode_start]))
        return self.decision_of(chosen, info, doubt)

    def prepare(self, observation: Any, info: Mapping[str, Any]) -> tuple[Any, bool]:
        """The first half of `decide`: what to ask the policy.

        Returns:
            The observation with the measurements that the policy takes, and whether an episode begins.

        Raises:
            ObservationError: The policy takes a measurement that ``info`` does not have.
        """
        episode_start = self._clock.update(info)
        if episode_start:
            self._reset_state()
        return self._inputs(observation, info), episode_start

    def decision_of(self, chosen: Any, info: Mapping[str, Any], doubt: float | None = None) -> Decision:
        """The second half of `decide`: the decision from what the policy chose.

        Raises:
            ActionError: It is something else than (steering, throttle) or (steering,).
        """
        action = self._complete(chosen, info) if self._completes_action else chosen
        return Decision(action, POLICY, policy_action=action, doubt=doubt)

    def _predict(self, observation: Any, episode_start: NDArray[np.bool_]) -> tuple[Any, float | None]:
        with_doubt = getattr(self.policy, "predict_with_doubt", None)
        if with_doubt is not None:
            chosen, self._state, doubt = with_doubt(observation, self._state, episode_start)
            return chosen, float(doubt)
        chosen, self._state = self.policy.predict(
            observation, state=self._state, episode_start=episode_start, deterministic=self.deterministic
        )
        return chosen, None

    def _inputs(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """The observation with the measurements that the policy takes."""
        is_mapping = isinstance(observation, Mapping)
        missing = [
            name for name in getattr(self.policy, "inputs", ()) if not (is_mapping and name in observation)
        ]
        if not missing:
            return observation
        measurements = measurements_of(info, missing)
        if is_mapping:
            return {**observation, **measurements}
        return {"state" if np.ndim(observation) == 1 else self._camera: observation, **measurements}

    def _complete(self, chosen: Any, info: Mapping[str, Any]) -> Action:
        """The policy's action, with the throttle if it has only the steering."""
        action = np.asarray(chosen, np.float32)
        if action.shape == (1,):
            steering, speed = float(np.clip(action[0], -1.0, 1.0)), speed_for_throttle(info)
            if self._throttle_law is not None:
                throttle = self._throttle_law(steering, speed)
            else:
                throttle = self._speed_controller(speed, self._step_seconds(info))
            action = np.array([action[0], throttle], np.float32)
        if action.shape != (2,):
            raise ActionError(
                f"a policy's action is (steering, throttle) or (steering,); {type(self.policy).__name__} "
                f"gave shape {action.shape}"
            )
        return np.clip(action, -1.0, 1.0)

    def _step_seconds(self, info: Mapping[str, Any]) -> float:
        seconds = info.get("ctrl_dt")
        return float(seconds) if seconds is not None else self._clock.elapsed or FALLBACK_DT


class ExpertDriver:
    """Driver that executes the actions of an expert, or of any function ``(observation, info) -> action``.

    The action is also the label. An expert whose label differs from its action has an attribute ``label``,
    such as `udacity_gym.experts.NoisyExpert`.

    Attributes:
        expert: the expert.
        name: what `Decision.driver` says.
    """

    def __init__(self, expert: ExpertFunction, name: str | None = None) -> None:
        """Wrap an expert.

        Args:
            expert: ``(observation, info) -> (steering, throttle)``.
            name: name of the driver; None takes the expert's attribute ``driver``, or else "expert".

        Raises:
            OptionError: It can't be called, or is a class; the message says what to give instead.
        """
        check_expert(expert)
        self.expert = expert
        self.name = str(name or getattr(expert, "driver", EXPERT))
        self._completes_action = True

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Call the expert's ``reset``, if it has one; see `Driver.reset`."""
        reset_expert(self.expert, env, info, seed)
        self._completes_action = env.action_space.shape == (2,)

    def decide(self, observation: Any, info: Mapping[str, Any]) -> Decision:
        """Ask the expert, see `Driver.decide`.

        Raises:
            ActionError: It gives something else than two finite numbers.
        """
        chosen = self.expert(observation, info)
        if not self._completes_action:
            return Decision(chosen, self.name)
        if chosen is None:
            raise ActionError(
                "the expert gave no action, and nobody else drives: one that only corrects needs a policy "
                "beside it, as in HGDAgger or Handover(policy, human)"
            )
        action = np.clip(check_action(chosen, "the expert"), -1.0, 1.0)
        label = getattr(self.expert, "label", None)
        expert_action = np.asarray(chosen if label is None else label, np.float64)
        return Decision(action, self.name, expert_action=expert_action, is_label=True)


def reset_expert(
    expert: object, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None
) -> None:
    """Call an expert's ``reset(env, info, seed)``, if it has one."""
    reset = getattr(expert, "reset", None)
    if reset is not None:
        reset(env, info, seed)


def check_expert(expert: object) -> None:
    """Check that an object is an expert.

    Raises:
        OptionError: It can't be called, or is a class; the message says what to give instead.
    """
    if inspect.isclass(expert):
        raise OptionError(f"expert={expert.__name__} is a class: give an object of it")
    if not callable(expert):
        hint = "; wrap it: PolicyExpert(policy)" if callable(getattr(expert, "predict", None)) else ""
        raise OptionError(f"an expert is a callable (observation, info) -> action, got {expert!r}{hint}")


def as_driver(driver: Any) -> Driver:
    """Convert a policy, an expert, its name, or the path of a policy to a `Driver`.

    Args:
        driver: a `Driver`; a policy, ours or one of Stable-Baselines3 (anything with ``predict``); an expert
            (any callable ``(observation, info) -> action``); the name of an expert; or the path of a policy:
            a checkpoint folder, an ONNX file, or what an installed package loads, see `load_policy`.

    Returns:
        The driver.

    Raises:
        OptionError: It can't drive; the message says what can.
        CheckpointError: There is no policy at the path.
    """
    if inspect.isclass(driver):
        raise OptionError(f"{driver.__name__} is a class: give an object of it")
    if isinstance(driver, (str, Path)):
        from udacity_gym.driving.loading import load_driver

        driver = load_driver(driver)
    if isinstance(driver, Driver):
        return driver
    if callable(getattr(driver, "predict", None)):
        return PolicyDriver(driver)
    if callable(driver):
        return ExpertDriver(driver)
    raise OptionError(
        "a driver is a policy with predict(observation, ...), a callable (observation, info) -> action, or "
        f"the path of a policy; got {type(driver).__name__}"
    )


def name_of(driver: object) -> str:
    """Name of a driver, policy or expert: its own name, that of its network, or that of its class."""
    for role in ("policy", "expert"):
        if isinstance(driver, (PolicyDriver, ExpertDriver)) and hasattr(driver, role):
            return name_of(getattr(driver, role))
    for attribute in ("name", "__name__"):
        name = getattr(driver, attribute, None)
        if isinstance(name, str):
            return name
    return type(getattr(driver, "network", driver)).__name__
