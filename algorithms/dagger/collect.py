"""Driving for data: a policy and an expert at one wheel, a gate between them, every step recorded."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from algorithms.base import Action, Floats, Policy
from algorithms.dagger.gates import POLICY, Gate, Moment
from algorithms.policies.ensemble import Ensemble, doubt_of
from udacity_gym.errors import OptionError
from udacity_gym.evaluation.runner import STUCK_METRES, STUCK_SECONDS
from udacity_gym.experts.base import check_expert
from udacity_gym.recording.recorder import RecordDrives, Recorder
from udacity_gym.wrappers import SpeedController

EnvMaker: TypeAlias = gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]]
"""An environment, or a function that makes one."""

Teacher: TypeAlias = Callable[[Any, Mapping[str, Any]], Action | None]
"""An expert, see `udacity_gym.experts`; or one whose answer is None while the hands are off the wheel."""

START_SPEED = (0.0, 6.0)
"""m/s, between which the speed at the start of an episode is drawn; 6 m/s is safe in every bend."""


@dataclass(frozen=True)
class EpisodeSummary:
    """What one episode of a rollout came to.

    Attributes:
        frames: rows that were recorded.
        labels: of them, how many the expert labelled.
        policy: of them, how many the policy drove.
        takeovers: how often the expert took the wheel from the policy, which must have had it.
        metres: driven along the track; NaN where the environment does not tell.
        seconds: driven.
        end: why it ended: "off_road", "stuck", another reason of the environment's, or "frames": enough.
    """

    frames: int
    labels: int
    policy: int
    takeovers: int
    metres: float
    seconds: float
    end: str

    @property
    def fell(self) -> bool:
        """Whether it ended because the car left the road, or was stuck."""
        return self.end in ("off_road", "stuck", "terminated")


@dataclass(frozen=True)
class Rollout:
    """A part of a round, for one process: so many frames, in as many episodes as that takes.

    Attributes:
        folder: where the recording goes.
        policy: checkpoint of the policy; None lets the expert drive alone.
        gate: who drives, and what is labelled.
        frames: how many.
        seed: of all randomness.
        start: options of the environment's reset, for every episode; None starts anywhere on the lap, or
            where the simulator's car can't be placed, where that starts.
        put_back: whether an episode after a fall starts on the lane where the car fell.
        stamp: time that the first frame pretends to be of.
        about: what to keep with every frame.
    """

    folder: Path
    policy: Path | None
    gate: Gate
    frames: int
    seed: tuple[int, ...]
    start: Mapping[str, Any] | None
    put_back: bool
    stamp: datetime.datetime
    about: Mapping[str, Any]


class Novice:
    """A policy at the wheel: observations in, (steering, throttle) out, whatever the policy itself works.

    Attributes:
        actions: what it works itself, see `Policy`.
    """

    def __init__(self, policy: Policy | None, ctrl_dt: float, wants_features: bool) -> None:
        """Seat a policy; None is a seat that stays empty.

        Args:
            policy: the policy.
            ctrl_dt: s of one step, for a policy that only steers.
            wants_features: whether to tell what the policy's network makes of an image.
        """
        self._policy, self._dt = policy, ctrl_dt
        self.actions = ("steering", "throttle") if policy is None else policy.actions
        self._speed = SpeedController(getattr(policy, "target_speed", None) or 0.0)
        self._tap = None
        if wants_features and policy is not None:
            from algorithms.dagger.heads import FeatureTap

            self._tap = FeatureTap(policy)

    def begin(self) -> None:
        """A new episode begins."""
        self._state: Any = None
        self._first = True
        self._speed.reset()

    def __call__(
        self, observation: Any, info: Mapping[str, Any]
    ) -> tuple[Action, float | None, Floats | None]:
        """Choose an action.

        Returns:
            (2,) float32 (steering, throttle); the doubt of an ensemble, else None; (k,) features, if wanted.
        """
        policy = self._policy
        if policy is None:
            return np.zeros(2, np.float32), None, None
        start, self._first = np.array([self._first]), False
        seen = policy_observation(policy, observation, info)
        doubt = None
        if isinstance(policy, Ensemble):
            actions, self._state = policy.predict_all(seen, self._state, start)
            chosen, doubt = actions.mean(axis=0), float(doubt_of(actions))
        else:
            chosen, self._state = policy.predict(seen, self._state, start)
        features = None if self._tap is None else self._tap.last[0]
        if policy.actions == ("steering",):
            throttle = self._speed(float(info["speed"]), self._dt)
            chosen = np.array([chosen[0], throttle], np.float32)
        return np.clip(chosen, -1.0, 1.0).astype(np.float32), doubt, features


def policy_observation(policy: Policy, observation: Any, info: Mapping[str, Any]) -> Any:
    """What a policy is to see: the environment's observation, and the speed where it wants that."""
    if "speed" not in getattr(policy, "inputs", ()):
        return observation
    images = observation if isinstance(observation, Mapping) else {policy.camera: observation}
    return {**images, "speed": np.array([info["speed"]], np.float32)}


class Collector:
    """Does rollouts: here, or in several processes at once.

    The outcome does not depend on how many there are: each rollout has its own seed and folder.
    """

    def __init__(self, env: EnvMaker, expert: Teacher | None, workers: int) -> None:
        """Get ready.

        Args:
            env: environment with images, whose action is (steering, throttle).
            expert: who shows how to drive.
            workers: processes; 1 drives in this one.
        """
        self._env, self._expert, self._workers = env, expert, workers
        self._made: gymnasium.Env[Any, Any] | None = None
        self._pool: Executor | None = None

    @property
    def env(self) -> gymnasium.Env[Any, Any]:
        """The environment of this process."""
        if isinstance(self._env, gymnasium.Env):
            return self._env
        if self._made is None:
            self._made = self._env()
        return self._made

    def run(self, rollouts: list[Rollout]) -> list[list[EpisodeSummary]]:
        """Do some rollouts.

        Returns:
            For each rollout its episodes.
        """
        if self._workers == 1:
            return [collect(rollout, self.env, self._expert) for rollout in rollouts]
        if self._pool is None:
            # Spawned, not forked: a fork of a process with threads, such as torch's, may hang.
            self._pool = ProcessPoolExecutor(
                self._workers, get_context("spawn"), initializer=_set_up, initargs=(self._env, self._expert)
            )
        return list(self._pool.map(_work, rollouts))

    def close(self) -> None:
        """End the processes, and close the environment if it was made here."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        if self._made is not None:
            self._made.close()
            self._made = None


_OF_THIS_PROCESS: dict[str, Any] = {}


def _set_up(env: EnvMaker, expert: Teacher | None) -> None:
    _OF_THIS_PROCESS["env"] = env if isinstance(env, gymnasium.Env) else env()
    _OF_THIS_PROCESS["expert"] = expert


def _work(rollout: Rollout) -> list[EpisodeSummary]:
    return collect(rollout, _OF_THIS_PROCESS["env"], _OF_THIS_PROCESS["expert"])


def collect(rollout: Rollout, env: gymnasium.Env[Any, Any], expert: Teacher | None) -> list[EpisodeSummary]:
    """Do one rollout.

    Whenever an episode ends, because the car leaves the road, is stuck, or the environment says so, the
    next one starts elsewhere, as ``rollout.start`` says, until there are enough frames.

    Returns:
        What each episode came to, in their order; they are the episodes of the recording.
    """
    from algorithms.policies.loading import load_policy

    policy = None if rollout.policy is None else load_policy(rollout.policy)
    novice = Novice(policy, float(env.get_wrapper_attr("ctrl_dt")), rollout.gate.wants_features)
    env_seed, expert_seed, gate_seed = np.random.SeedSequence(rollout.seed).generate_state(3).tolist()
    reset = getattr(expert, "reset", None)
    if reset is not None:
        reset(expert_seed)
    rng = np.random.default_rng(gate_seed)
    cameras = recorded_cameras(env)
    start = _anywhere(env) if rollout.start is None else dict(rollout.start)
    recorder = Recorder(rollout.folder, cameras, about=rollout.about, start=rollout.stamp)
    recorded = RecordDrives(env, recorder)
    episodes: list[EpisodeSummary] = []
    left, seed, place = rollout.frames, env_seed, start
    with recorder:
        while left > 0:
            recorder.start()
            episode, info = _episode(recorded, expert, novice, rollout.gate, rng, left, seed, place)
            episodes.append(episode)
            left, seed = left - episode.frames, None
            place = _where_it_fell(env, info, start) if rollout.put_back and episode.fell else start
            if not episode.frames:
                raise OptionError(f"an episode with start={start} ended before its first step")
    return episodes


def check_drivers(env: object, expert: object, workers: int) -> None:
    """Refuse at once what can't be driven in, asked, or sent to other processes.

    Args:
        env: to be an environment or a function that makes one.
        expert: to be a `Teacher`; None is nobody.
        workers: processes that they are sent to, if more than one.

    Raises:
        OptionError: It is not; the message says what to give instead.
    """
    if isinstance(env, gymnasium.Env):
        recorded_cameras(env)
    elif not callable(env):
        name = f"gymnasium.make({env!r})" if isinstance(env, str) else "gymnasium.make(...)"
        raise OptionError(f"env={env!r} is no environment: give {name}, or a function that makes one")
    if expert is not None:
        check_expert(expert)
    if workers > 1:
        try:
            pickle.dumps((env, expert))
        except Exception as error:
            raise OptionError(
                f"workers={workers} send env and expert to other processes, and these "
                f"can't be sent: {error}; a function that makes an env must stand at the top of a module"
            ) from error


def recorded_cameras(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """The cameras whose images a round keeps.

    Raises:
        OptionError: The centre one is not among them, by which policies drive.
    """
    cameras = tuple(getattr(env.unwrapped, "cameras", ("center",)))
    if "center" not in cameras:
        raise OptionError(
            f"a round needs images of the center camera, and this environment has cameras={cameras}; make "
            'it with cameras=("center",) or more of them'
        )
    return cameras


def _anywhere(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Options that start an episode anywhere on the lap, if the simulator can do that."""
    simulator = getattr(env.unwrapped, "simulator", None)
    if simulator is None:
        return {}
    if getattr(env.unwrapped, "telemetry", None) is None:
        env.reset()  # a simulator that connects from outside is not known before
    return {"s": "random", "speed": START_SPEED} if simulator.capabilities.can_place else {}


def _where_it_fell(
    env: gymnasium.Env[Any, Any], info: Mapping[str, Any], start: Mapping[str, Any]
) -> dict[str, Any]:
    """Options that put the car back on its lane, as fast as it would start."""
    track = getattr(env.unwrapped, "track", None)
    if "s" not in info or track is None:
        raise OptionError("put_back needs to know where the car is, and this environment does not tell")
    known = {name: value for name, value in start.items() if name not in ("s", "offset", "heading_error")}
    return {**known, "s": float(info["s"]), "offset": float(track.reference_offset), "heading_error": 0.0}


def _episode(
    env: RecordDrives,
    expert: Teacher | None,
    novice: Novice,
    gate: Gate,
    rng: np.random.Generator,
    most: int,
    seed: int | None,
    start: dict[str, Any],
) -> tuple[EpisodeSummary, Mapping[str, Any]]:
    """Drive one episode, ``most`` steps of it; tells what it came to, and the last info."""
    observation, info = env.reset(seed=seed, options=start or None)
    novice.begin()
    gate.begin(rng)
    begin, furthest = float(info["time"]), (float(info["time"]), float(info.get("progress", 0.0)))
    frames = labels = driven = takeovers = 0
    driver, end = POLICY, "frames"
    while frames < most:
        wanted, doubt, features = novice(observation, info)

        def ask(observation: Any = observation, info: Mapping[str, Any] = info) -> Action | None:
            return None if expert is None else _checked(expert(observation, info))

        decision = gate.decide(Moment(observation, info, wanted, doubt, features, ask, novice.actions))
        frames += 1
        labels += decision.label is not None
        driven += decision.driver == POLICY
        takeovers += decision.driver != POLICY and driver == POLICY and frames > 1
        driver = decision.driver
        known = {"policy_action": wanted, "expert_action": decision.label, "doubt": doubt}
        env.note(
            driver=driver,
            **{name: value for name, value in known.items() if value is not None},
            **decision.note,
        )
        observation, _, terminated, truncated, info = env.step(decision.action)
        time, progress = float(info["time"]), float(info.get("progress", 0.0))
        if terminated or truncated:
            end = str(info.get("end_reason", "terminated" if terminated else "truncated"))
            break
        if "progress" in info and progress - furthest[1] < STUCK_METRES:
            if time - furthest[0] >= STUCK_SECONDS - 1e-9:
                end = "stuck"
                break
        else:
            furthest = (time, progress)
    metres = float(info["progress"]) if "progress" in info else float("nan")
    return EpisodeSummary(frames, labels, driven, takeovers, metres, float(info["time"]) - begin, end), info


def _checked(wanted: Any) -> Action | None:
    """An expert's answer as an action, None if it has none."""
    if wanted is None:
        return None
    values = np.asarray(wanted, np.float32)
    if values.shape != (2,) or not np.isfinite(values).all():
        raise OptionError(
            f"the expert must give two finite numbers (steering, throttle), or None; got {wanted!r}"
        )
    return np.clip(values, -1.0, 1.0)
