"""Collect the data of a round: a gate decides at each step whether policy or expert drives."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np

from algorithms.dagger.heads import FeatureTap
from algorithms.policies.loading import load_policy
from udacity_gym.driving.driver import ExpertFunction, check_expert
from udacity_gym.driving.episode_counter import EpisodeCounter, EpisodeSummary
from udacity_gym.driving.gates import Gate, GatedDriver
from udacity_gym.driving.loop import PutBack, drive
from udacity_gym.errors import OptionError
from udacity_gym.executors.calls import OutputFolder, Shared, SharedFiles, pickled, worker_cached
from udacity_gym.recording.recorder import Recorder

EnvMaker: TypeAlias = gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]]
"""An environment, or a function that makes one."""

START_SPEED = (0.0, 6.0)
"""m/s, range of the speed at the start of an episode; 6 m/s is safe in every bend."""


@dataclass(frozen=True)
class Rollout:
    """A part of a round, for one process: a number of frames in one or more episodes.

    Attributes:
        name: folder of the recording, below that of the round.
        policy: the policy, or its files; None lets the expert drive alone.
        gate: decides who drives and what is labelled.
        frames: number of frames.
        seed: seed of all randomness.
        start: options of the environment's reset, for every episode; None starts anywhere on the lap, or at
            the simulator's own start if the simulator can't place the car.
        put_back: whether an episode after a fall starts on the lane where the car fell.
        stamp: artificial time of the first frame.
        about: values to keep with every frame.
        device: where a policy computes that is given by its files.
    """

    name: str
    policy: Any
    gate: Gate
    frames: int
    seed: tuple[int, ...]
    start: Mapping[str, Any] | None
    put_back: bool
    stamp: datetime.datetime
    about: Mapping[str, Any]
    device: str = "cpu"


class Driving(NamedTuple):
    """Environment and expert that all rollouts of a learner share.

    Attributes:
        env: environment with images, whose action is (steering, throttle), or a function that makes one.
        expert: the expert; None for no expert.
    """

    env: EnvMaker
    expert: ExpertFunction | None


class RolloutJob(NamedTuple):
    """A rollout for an executor."""

    driving: Shared[Driving]
    rollout: Rollout
    output: OutputFolder

    def __str__(self) -> str:
        return f"{self.rollout.name} with seed {self.rollout.seed}"


def run_job(job: RolloutJob) -> list[EpisodeSummary]:
    """Run a rollout in any process; a worker makes the environment once."""
    make_env, expert = job.driving.get()
    env = make_env if isinstance(make_env, gymnasium.Env) else worker_cached(job.driving.key, make_env)
    with job.output.writing_folder(job.rollout.name) as folder:
        return collect(job.rollout, folder, env, expert)


def collect(
    rollout: Rollout, folder: Path, env: gymnasium.Env[Any, Any], expert: ExpertFunction | None
) -> list[EpisodeSummary]:
    """Run a rollout.

    An episode ends when the car leaves the road, is stuck, or the environment ends it. The next one starts
    with the options ``rollout.start``, or the car is put back, until there are enough frames.

    Returns:
        A summary of each episode of the recording, in their order.
    """
    policy = rollout.policy
    if isinstance(policy, SharedFiles):
        with policy.open() as checkpoint:
            policy = load_policy(checkpoint, device=rollout.device)
    tap = FeatureTap(policy) if policy is not None and rollout.gate.wants_features else None
    env_seed, expert_seed, gate_seed = np.random.SeedSequence(rollout.seed).generate_state(3).tolist()
    driver = GatedDriver(
        policy,
        expert,
        copy.deepcopy(rollout.gate),  # a gate may count, and rollouts must not depend on each other
        features=None if tap is None else lambda: tap.last[0],
        seed=gate_seed,
    )
    start = _random_start(env) if rollout.start is None else dict(rollout.start)
    steps = drive(
        env,
        driver,
        steps=rollout.frames,
        seed=env_seed,
        driver_seed=expert_seed,
        start=start,
        on_fall="put_back" if rollout.put_back else "restart",
        on_truncation="restart",
        put_back=PutBack(speed="start", keep_conditions=False),
    )
    counter = EpisodeCounter()
    recorder = Recorder(folder, recorded_cameras(env), about=rollout.about, start=rollout.stamp)
    with recorder:
        for step in steps:
            recorder.add(step)
            counter.add(step)
    return counter.episodes()


def check_driving(env: object, expert: object, *, many: bool) -> None:
    """Check environment and expert before learning begins.

    Args:
        env: an environment, or a function that makes one.
        expert: an expert; None for no expert.
        many: whether they are sent to other processes.

    Raises:
        OptionError: One of them is unsuitable; the message says what to give instead.
    """
    if isinstance(env, gymnasium.Env):
        check_env(env)
    elif hasattr(env, "num_envs"):
        raise OptionError(
            f"env={type(env).__name__} is a vector environment: give a single one, or a function that makes "
            "one, and executor=... to collect in parallel"
        )
    elif not callable(env):
        name = f"gymnasium.make({env!r})" if isinstance(env, str) else "gymnasium.make(...)"
        raise OptionError(f"env={env!r} is no environment: give {name}, or a function that makes one")
    if expert is not None:
        check_expert(expert)
    if many:
        pickled((env, expert), "the env or the expert")


def check_env(env: gymnasium.Env[Any, Any], image_size: tuple[int, int] | None = None) -> None:
    """Check that a policy can drive in an environment before it does.

    Args:
        env: the environment.
        image_size: (height, width) px of the images that the policies take; None for any.

    Raises:
        OptionError: Actions or images are not those that policies and experts know; the message says what to
            change.
    """
    recorded_cameras(env)
    actions = env.action_space
    if actions.shape != (2,):
        hints = {True: "remove DiscretizeAction", False: "remove the wrapper that changes the action"}
        hint = hints[isinstance(actions, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete))]
        if actions.shape == (1,):
            hint = 'remove SpeedControl; throttle="speed_control" gives policies that only steer'
        raise OptionError(
            f"the environment's action is {actions}, and experts and policies act with (steering, throttle): "
            f"{hint}"
        )
    images: Any = env.observation_space
    if isinstance(images, gymnasium.spaces.Dict):
        images = images.spaces.get("center", images)
    shape = tuple(images.shape or ())
    if len(shape) == 4 or (len(shape) == 3 and shape[2] != 3):
        raise OptionError(
            f"the environment's observation has shape {shape}, where an image has (height, width, 3); for "
            "stacked frames, remove the wrapper and give past_frames=..., which policies remember themselves"
        )
    if image_size is not None and len(shape) == 3 and shape[:2] != tuple(image_size):
        raise OptionError(
            f"the environment's images are {shape[0]}x{shape[1]}, and the policy takes "
            f"{image_size[0]}x{image_size[1]} (height x width): make the environment with "
            f"image_size={tuple(image_size)}, or give preprocessing=Preprocessing(camera_size={shape[:2]}, "
            "crop=...)"
        )


def recorded_cameras(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """Cameras whose images a round records.

    Raises:
        OptionError: The centre camera, by which policies drive, is not among them.
    """
    cameras = tuple(getattr(env.unwrapped, "cameras", ("center",)))
    if "center" not in cameras:
        raise OptionError(
            f"a round needs images of the center camera, and this environment has cameras={cameras}; make "
            'it with cameras=("center",) or more of them'
        )
    return cameras


def _random_start(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Options that start an episode anywhere on the lap, if the simulator can do that.

    An environment with a `start` of its own starts as that says.
    """
    if getattr(env.unwrapped, "start", None):
        return {}
    simulator = getattr(env.unwrapped, "simulator", None)
    if simulator is None:
        return {}
    if getattr(env.unwrapped, "telemetry", None) is None:
        env.reset()  # a simulator that connects from outside has no capabilities before
    return {"s": "random", "speed": START_SPEED} if simulator.capabilities.can_place else {}
