"""Fingerprints of everything that this project computes, to prove that a change of the code changes nothing.

    python tests/fingerprints.py before.json
    (change the code)
    python tests/fingerprints.py after.json
    python tests/fingerprints.py --compare before.json after.json

A fingerprint is a SHA-256 of images, observations, rewards, recordings, weights or results. It has a name,
such as ``images/lake/rain/forward/center``. Fingerprints depend on the processor and on the versions of
libraries: compare only those of one machine. They leave out texts for people (messages, reasons, findings),
names of files, versions of formats and paths of modules.

Names that a refactoring may change stand in the section "Names" below. Change them there when the code
changes, so that the same things are computed before and after.
"""

# ruff: noqa: E402, T201 - threads are set before NumPy and torch are imported; a script prints

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy and torch are imported: sums come out alike in every run

import argparse
import contextlib
import datetime
import hashlib
import importlib
import json
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

import udacity_gym
import udacity_gym.driving
from algorithms import (
    DART,
    Augmentation,
    BehavioralCloning,
    DAgger,
    Ensemble,
    EnsembleDAgger,
    HGDAgger,
    NetworkPolicy,
    PilotNet,
    Preprocessing,
    SafeDAgger,
    ThriftyDAgger,
    label_round,
    load_policy,
)
from udacity_gym.evaluation import (
    ForEachTrack,
    Scenario,
    Suite,
    SuiteResult,
    compare,
    evaluate,
    run_suite,
    scenarios,
)
from udacity_gym.experts import (
    PID,
    Noise,
    NoisyExpert,
    PolicyExpert,
    PurePursuit,
    ScriptedHuman,
    make_expert,
    racing_line,
)
from udacity_gym.recording import (
    Downscale,
    Recorder,
    TrainingLoader,
    open_recording,
    pack,
    record,
    summarize,
)

Named = Iterator[tuple[str, Any]]

# ---- Names

IMAGE_SIZE = "image_size"
"""Argument of the environment: height and width of images."""
CAMERA_SIZE = "camera_size"
"""Field of `Preprocessing`: height and width of the images that it takes."""
PAST_FRAMES = "past_frames"
"""Setting: how many past images a network sees."""
ROLLOUTS = "rollouts"
"""Setting: parts of a round that are driven by themselves."""

RENAMED: Mapping[str, str] = {"episodes": "takes", "image_size": "picture"}
"""Fields and keys that have other names now, as {new name: old name}: of info, side files, results."""

ADDED = ("ctrl_dt", "_ctrl_dt")
"""Keys of info that did not exist before; they are left out."""

TEXTS = ("ended", "detail", "caption", "path", "log", "version", "format", "edits", "identity", "folder")
"""Names of fields and keys that are texts for people, or tell of formats or places, by their old names."""

HOMES: Mapping[str, tuple[str, ...]] = {
    "CarParameters": ("udacity_gym", "udacity_gym.world.car", "udacity_gym.world.physics.car"),
    "Randomization": ("udacity_gym", "udacity_gym.conditions"),
    "Track": ("udacity_gym", "udacity_gym.world.track", "udacity_gym.world.track.track"),
    "draw_map": ("udacity_gym", "udacity_gym.world.track_map", "udacity_gym.world.track.track_map"),
    "generate_track": ("udacity_gym", "udacity_gym.world.generator", "udacity_gym.world.track.generator"),
    "SpeedControl": ("udacity_gym", "udacity_gym.wrappers"),
    "SpeedObservation": ("udacity_gym", "udacity_gym.wrappers"),
    "convert": ("udacity_gym.recording", "udacity_gym.recording.convert"),
    "tools": ("udacity_gym.recording", "udacity_gym.recording.tools"),
}
"""Where to look for what today's packages do not export by themselves, the first place that has it."""

CONDITIONS: Mapping[str, Any] = {
    "weather": "clear",
    "intensity": 1.0,
    "time_of_day": "day",
    "sun_elevation": None,
    "sun_azimuth": None,
    "visibility": None,
    "road_wear": 0.0,
    "grip": 1.0,
    "exposure": 0.0,
    "noise": 0.0,
    "jpeg": None,
}
"""Fields of `Conditions` and their defaults, by their old names."""

NAMED_CONDITIONS = (
    "clear", "overcast", "rain", "heavy_rain", "mist", "fog", "snow", "ice", "dawn", "noon", "dusk", "night",
    "rainy_night", "low_sun", "worn_road", "dark", "bright", "noisy", "compressed",
)  # fmt: skip


def find(name: str) -> Any:
    """Something by its name, wherever it is today."""
    for home in HOMES[name]:
        try:
            module = importlib.import_module(home)
        except ModuleNotFoundError:
            continue
        if home.rpartition(".")[2] == name:
            return module
        if hasattr(module, name):
            return getattr(module, name)
    raise ImportError(f"{name} is in none of {', '.join(HOMES[name])}")


def epoch_log(learner: Any) -> Any:
    """What the epochs of a training came to."""
    return [replace(epoch, metrics=None) for epoch in learner.epoch_log]


def round_log(learner: Any) -> Any:
    """What the rounds of an interactive learner came to."""
    return learner.round_log


def columns_of(episode: Any) -> Mapping[str, Any]:
    """The columns of an episode of a recording."""
    return {
        name: getattr(episode, name) for name in ("steering", "throttle", "brake", "speed", "time", "row")
    }


def vector_info(infos: Mapping[str, Any]) -> dict[str, Any]:
    """Infos of several cars, with the conditions of each car in one mapping instead of a column per field."""
    single = dict(infos)
    if isinstance(infos.get("final_info"), Mapping):
        single["final_info"] = vector_info(infos["final_info"])
    if isinstance(infos.get("conditions"), Mapping):
        columns, mask = infos["conditions"], infos["_conditions"]
        single["conditions"] = np.full(len(mask), None, dtype=object)
        for car in np.flatnonzero(mask):
            names = [name for name in columns if name in CONDITIONS and columns[f"_{name}"][car]]
            single["conditions"][car] = {name: columns[name].tolist()[car] for name in names}
    return single


def takeover_info(step: Any, shared: Any) -> dict[str, Any]:
    """Info after a step in which somebody may have taken over, with who drove."""
    decision = step.decision
    return {
        **step.next_info,
        "driver": decision.driver,
        "policy_action": decision.policy_action,
        "takeover": shared.state.value,
    }


# ---- Canonical bytes


def canonical(value: Any) -> Any:
    """A value as nested lists of strings: equal for equal values, whatever classes hold them."""
    value = _as_mapping(value)
    if value is None or isinstance(value, (bool, int, str)):
        return [type(value).__name__, str(value)]
    if isinstance(value, float):
        return ["float", repr(float(value))]
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    if isinstance(value, torch.Tensor):
        return canonical(value.detach().cpu().numpy())
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype == object:
            return ["objects", list(array.shape), [canonical(item) for item in array.ravel().tolist()]]
        data = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return ["array", str(array.dtype), list(array.shape), data]
    if isinstance(value, Mapping):
        named = {RENAMED.get(str(name), str(name)): item for name, item in value.items()}
        if set(named) <= set(CONDITIONS):
            named = {name: item for name, item in named.items() if item != CONDITIONS[name]}
        left_out = {*TEXTS, *ADDED}
        return ["mapping", [[name, canonical(named[name])] for name in sorted(named) if name not in left_out]]
    if isinstance(value, (list, tuple)):
        return ["sequence", [canonical(item) for item in value]]
    if isinstance(value, (set, frozenset)):
        return ["set", sorted(json.dumps(canonical(item)) for item in value)]
    raise TypeError(f"no canonical form of {type(value).__name__}: {value!r}")


def _as_mapping(value: Any) -> Any:
    """Dataclasses by the names of their fields, without those that are None."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    found = {item.name: getattr(value, item.name) for item in fields(value)}
    return {name: item for name, item in found.items() if item is not None}


def fingerprint(value: Any) -> str:
    """The SHA-256 of a value's canonical form."""
    return hashlib.sha256(json.dumps(canonical(value)).encode()).hexdigest()


class Digest:
    """The fingerprint of a long sequence, without keeping it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.length = 0

    def add(self, value: Any) -> None:
        """Add the next value."""
        self._hash.update(fingerprint(value).encode())
        self.length += 1

    def result(self) -> tuple[int, str]:
        """How many there are, and their fingerprint."""
        return self.length, self._hash.hexdigest()


# ---- Helpers


def make_env(**arguments: Any) -> gym.Env[Any, Any]:
    """An environment; ``image_size`` goes by today's name."""
    if "image_size" in arguments:
        arguments[IMAGE_SIZE] = arguments.pop("image_size")
    return gym.make(udacity_gym.ENV_ID, disable_env_checker=True, **arguments)


@cache
def generated_track() -> Any:
    """A track that is not built in: narrow, hilly, with two lanes."""
    return find("generate_track")(7, difficulty=0.6, length=700.0, markings="lanes", name="made")


def tracks() -> dict[str, Any]:
    """The tracks that everything is computed on."""
    return {"lake": "lake", "jungle": "jungle", "mountain": "mountain", "generated": generated_track()}


def drive(
    env: gym.Env[Any, Any],
    expert: Callable[[Any, Mapping[str, Any]], Any],
    steps: int,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Let an expert drive; yields each part of each step by its name, over several episodes."""
    observation, info = env.reset(seed=seed, options=options)
    yield "observation", observation
    yield "info", info
    for _ in range(steps):
        action = expert(observation, info)
        observation, reward, terminated, truncated, info = env.step(action)
        yield "action", np.asarray(action)
        yield "observation", observation
        yield "reward", (reward, bool(terminated), bool(truncated))
        yield "info", info
        if terminated or truncated:
            observation, info = env.reset(options=options)
            yield "observation", observation
            yield "info", info


def digests(prefix: str, parts: Iterator[tuple[str, Any]]) -> Named:
    """One fingerprint for each kind of part."""
    found: dict[str, Digest] = {}
    for name, value in parts:
        found.setdefault(name, Digest()).add(value)
    for name, digest in found.items():
        yield f"{prefix}/{name}", digest.result()


class Weaver:
    """A poor policy: it steers from side to side whatever it sees, and leaves the road."""

    name = "weaver"

    def __init__(self, steering: float = 0.25, actions: tuple[str, ...] = ("steering", "throttle")) -> None:
        self.steering = steering
        self.actions = actions
        if actions == ("steering",):
            self.target_speed = 9.0

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray[Any, Any], Any]:
        """Choose an action."""
        step = 0 if state is None or episode_start.any() else state
        action = [self.steering * math.sin(step / 20.0), 0.6]
        return np.array(action[: len(self.actions)], np.float32), step + 1


class Restless:
    """Drives as a policy does whose memory goes on from episode to episode, and is called "policy"."""

    driver = "policy"

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._state: Any = None

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """Choose an action."""
        action, self._state = self._policy.predict(observation, self._state, np.array([self._state is None]))
        return action


class WithoutStepLength(gym.Wrapper[Any, Any, Any, Any]):
    """Hides "ctrl_dt" of info, so that speed controllers measure the length of a step, as they did before.

    What they measure differs from it in the last digit.
    """

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(**arguments)
        return observation, {name: value for name, value in info.items() if name not in ADDED}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Drive for one step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        info = {name: value for name, value in info.items() if name not in ADDED}
        return observation, reward, terminated, truncated, info


class Plan:
    """An expert that knows its actions by heart."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._action: np.ndarray[Any, Any] = np.zeros(2)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """Choose an action: it wanders."""
        self._action = np.clip(0.9 * self._action + self._rng.normal(0, (0.15, 0.3)), -1, 1)
        return np.asarray(self._action + np.array([0.0, 0.3]), np.float32)


class Slowly:
    """An expert's steering for a steering-only environment."""

    def __init__(self, expert: Any) -> None:
        self._expert = expert

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """Choose an action."""
        return np.asarray(self._expert(observation, info)[:1], np.float32)


def new_policy(seed: int = 0, outputs: int = 2, **arguments: Any) -> NetworkPolicy:
    """A policy with random weights, larger ones than usual so that it does something."""
    torch.manual_seed(seed)
    network = PilotNet(outputs)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1.5)
    return NetworkPolicy(network, Preprocessing(), **arguments)


def weights_of(policy: Any) -> Any:
    """The weights of a policy by name, those of an ensemble in the order of its members."""
    if isinstance(policy, Ensemble):
        return [weights_of(member) for member in policy.members]
    return dict(policy.network.state_dict())


def files_of(recording: Any, extra_of: Callable[[Any], Any] = lambda frame: frame.extra) -> Named:
    """What a recording's files hold; ``extra_of`` gives what the side file says of a frame."""
    yield "log", recording.log.read_bytes()
    images, extras = Digest(), Digest()
    for frame in recording.frames():
        images.add([[camera, frame.data(camera)] for camera in frame.cameras])
        extras.add(extra_of(frame))
    yield "images", images.result()
    yield "extras", extras.result()
    yield "columns", [columns_of(episode) for episode in recording.episodes]
    yield "cameras", recording.cameras


def round_extra(frame: Any) -> Any:
    """What the side file of a round says of a frame.

    Before, it said that the policy wanted zeros where there was no policy; now it says nothing.
    """
    return {"policy_action": [0.0, 0.0], **frame.extra}


def below(prefix: str, parts: Named) -> Named:
    """The same parts with longer names."""
    for name, value in parts:
        yield f"{prefix}/{name}", value


START = datetime.datetime(2024, 5, 1, 12)
"""Local time that recordings begin at, so that their files have the same names in every run."""


@cache
def demonstrations() -> Path:
    """A recording to learn from: an expert on the lake, 16 s with three cameras."""
    folder = WORK.path / "demonstrations"
    env = make_env(cameras=("center", "left", "right"), mode="training")
    record(env, PurePursuit(), folder, seconds=16, seed=3, start=START)
    env.close()
    return folder


class _Work:
    path = Path()


WORK = _Work()
"""Where this run keeps its files."""

# ---- Sections


def images(folder: Path) -> Named:
    """Cameras, sensors and views on all tracks and in all conditions."""
    cameras, sensors = ("center", "left", "right"), ("depth", "segmentation")
    ahead = np.array([0.05, 0.8], np.float32)
    for name, track in tracks().items():
        env = make_env(track=track, cameras=cameras, sensors=sensors)
        few = NAMED_CONDITIONS if name == "lake" else ("clear", "rain", "fog", "dusk", "night", "snow")
        for conditions in few:
            for direction in ("forward", "reverse"):
                options = {"conditions": conditions, "direction": direction, "s": 40.0, "speed": 8.0}
                seen, _ = env.reset(seed=1, options=options)
                for camera, image in seen.items():
                    yield f"{name}/{conditions}/{direction}/{camera}", image
        env.close()
        along = Digest()
        env = make_env(track=track, mode="training")
        length = env.unwrapped.track.length  # type: ignore[attr-defined]
        for i in range(40):
            seen, _ = env.reset(seed=i, options={"s": length * i / 40, "offset": (-2, 2), "speed": 9.0})
            along.add(seen)
            along.add(env.step(ahead)[0])
        yield f"{name}/along/center", along.result()
        env.close()
        for mode in ("autonomous", "training"):
            for view in ("chase", "cockpit"):
                for conditions in ("clear", "night"):
                    env = make_env(
                        track=track,
                        render_mode="rgb_array",
                        render_view=view,
                        mode=mode,
                        conditions=conditions,
                    )
                    seen, _ = env.reset(seed=2, options={"s": 60.0, "heading_error": 0.1, "speed": 5.0})
                    yield f"{name}/{mode}/{view}/{conditions}", (seen, env.render())
                    env.step(ahead)
                    yield f"{name}/{mode}/{view}/{conditions}/next", env.render()
                    env.close()
        path = folder / f"{name}.png"
        find("draw_map")(find("Track").load(track), path)
        import cv2

        yield f"{name}/map", cv2.imread(str(path))
    for size in ((32, 64), (120, 160), (240, 400)):
        for angle in (None, 0.6, 1.6):
            env = make_env(image_size=size, field_of_view=angle, sensors=sensors, conditions="rain")
            seen, _ = env.reset(seed=4, options={"s": 100.0, "offset": 1.5, "heading_error": -0.3})
            yield f"sizes/{size[0]}x{size[1]}/{angle}", seen
            env.close()
    drawn = find("Randomization")(
        ("clear", "rain", "snow", "dusk"),
        exposure=(-0.5, 0.5),
        noise=(0, 8),
        jpeg=(20, 90),
        road_wear=(0, 1),
        sun_elevation=(0.1, 1.0),
        visibility=(50, 500),
    )
    env = make_env(conditions=drawn, cameras=cameras)
    env.reset(seed=11)
    for i in range(6):
        seen, info = env.reset(options={"s": "random"})
        yield f"randomization/{i}", (seen, info)
    env.close()
    env = make_env(simulator_options={"jpeg": True}, cameras=("left",))
    yield "jpeg", env.reset(seed=0)
    env.close()


def episode(folder: Path) -> Named:
    """Observations, rewards and infos of episodes, in one environment and in a vector of them."""
    for name, track in tracks().items():
        loaded = find("Track").load(track)
        env = make_env(track=track, cameras=("center", "right"), max_seconds=15.0)
        yield from digests(f"cameras/{name}", drive(env, PurePursuit(loaded), 240, seed=5))
        env.close()
        env = make_env(track=track, cameras=(), max_seconds=40.0)
        yield from digests(f"state/{name}", drive(env, PurePursuit(loaded), 700, seed=6))
        options: dict[str, Any] = {
            "direction": "reverse", "s": "random", "offset": (-1.0, 1.0), "speed": (0.0, 8.0)
        }  # fmt: skip
        yield from digests(f"reverse/{name}", drive(env, PurePursuit(loaded), 300, seed=7, options=options))
        yield from digests(f"wander/{name}", drive(env, Plan(8), 700, seed=8, options={"s": "random"}))
        env.close()
    env = make_env(cameras=(), max_laps=1, ctrl_dt=0.1, conditions="ice")
    options = {"s": 1000.0, "speed": 8.0, "mode": "training", "grip": (0.3, 0.6)}
    yield from digests("options", drive(env, PurePursuit(), 400, seed=9, options=options))
    env.close()
    rewards = {"progress": 1.0, "off_road": -10.0, "mine": lambda transition: 0.25}
    env = make_env(cameras=(), rewards=rewards, car=find("CarParameters")(top_speed=20.0, grip=1.2))
    yield from digests("rewards", drive(env, Plan(3), 300, seed=10))
    env.close()
    env = find("SpeedControl")(find("SpeedObservation")(make_env(track="jungle")), 7.0)
    yield from digests("speed", drive(env, Slowly(PurePursuit("jungle")), 200, seed=12))
    env.close()
    env = find("SpeedObservation")(make_env(cameras=()))
    yield from digests("speed_state", drive(env, PID(), 100, seed=13))
    env.close()
    yield from vector()


def vector() -> Named:
    """Several cars at once."""
    for mode in ("NextStep", "SameStep"):
        for cameras, steps in ((("center", "left"), 60), ((), 400)):
            envs = gym.make_vec(
                udacity_gym.ENV_ID,
                num_envs=3,
                vectorization_mode="vector_entry_point",
                cameras=cameras,
                autoreset_mode=mode,
                max_seconds=3.0 if cameras else 12.0,
            )
            parts: dict[str, Digest] = {name: Digest() for name in ("observation", "reward", "info")}
            options = {"s": "random", "offset": (-3.0, 3.0), "conditions": {"weather": ("clear", "rain")}}
            observation, info = envs.reset(seed=14, options=options)
            rng = np.random.default_rng(15)
            for _ in range(steps):
                parts["observation"].add(observation)
                parts["info"].add(vector_info(info))
                actions = rng.uniform((-0.4, 0.2), (0.4, 1.0), (3, 2)).astype(np.float32)
                observation, *outcome, info = envs.step(actions)
                parts["reward"].add(outcome)
            for name, digest in parts.items():
                yield f"vector/{mode}/{len(cameras)}/{name}", digest.result()
            envs.close()


def recording(folder: Path) -> Named:
    """Recordings of experts and of somebody who takes over, as files."""
    cameras = ("center", "left", "right")
    env = make_env(cameras=cameras, mode="training")
    yield from below(
        "pure_pursuit",
        files_of(record(env, PurePursuit(), folder / "pursuit", seconds=8, seed=1, start=START)),
    )
    noisy = NoisyExpert(PurePursuit(), Noise.of(0.2, 0.1, correlation=0.5), seed=2)
    record(env, noisy, folder / "noisy", seconds=4, seed=2, start=START, extra={"weather": "odd"})
    again = record(env, noisy, folder / "noisy", seconds=4, seed=3, append=True)
    yield "noisy/columns", [{**columns_of(e), "time": None} for e in again.episodes]
    yield "noisy/extras", [frame.extra for frame in again.frames()]
    env.close()
    env = make_env(track="jungle", conditions="dusk", direction="reverse", image_size=(40, 80))
    expert = make_expert("racing", find("Track").load("jungle"))
    small = record(env, expert, folder / "small", seconds=6, start=START, allow_missing=True)
    yield from below("small", files_of(small))
    env.close()
    env = make_env(track="lake")
    human = ScriptedHuman(PurePursuit(), cte=0.5, reaction_time=0.2, recovered_cte=0.3, seed=4)
    shared = udacity_gym.driving.Handover(Restless(Weaver(0.3)), human, expert=PurePursuit())
    seed: int | None = 5
    start: dict[str, Any] = {"s": "random", "offset": 1.2, "speed": 7.0}
    infos = Digest()
    with Recorder(folder / "takeover", start=START) as recorder:
        while infos.length < 200:
            for step in udacity_gym.driving.drive(
                env, shared, steps=200 - infos.length, seed=seed, start=start, stuck_seconds=None
            ):
                recorder.add(step)
                infos.add(takeover_info(step, shared))
            seed, start = None, {"s": "random"}
    yield "takeover/infos", (infos.result(), shared.takeovers)
    yield from below("takeover", files_of(open_recording(folder / "takeover")))
    env.close()


def reading(folder: Path) -> Named:
    """What reading, joining, editing, copying and batching recordings gives."""
    tools = find("tools")
    env = make_env(cameras=("center", "left", "right"))
    source = folder / "source"
    noisy = NoisyExpert(PurePursuit(), Noise.of(0.3, correlation=0.4), seed=5)
    record(env, noisy, source, seconds=10, seed=1, start=START)
    record(env, PurePursuit(), folder / "other", seconds=5, seed=2, start=START)
    env.close()
    log = source / "driving_log.csv"
    lines = log.read_text().splitlines()
    lines[20] = lines[20].replace("0.", "nothing", 1).rpartition(",")[0] + ",x"
    lines.insert(40, "center,left,right,steering,throttle,brake,speed")
    lines.append(lines[-1])
    log.write_text("\n".join([*lines, "rubbish"]) + "\n")
    opened = open_recording(source)
    yield from below("source", files_of(opened))

    def shown(recording: Any) -> Any:
        report = recording.report
        found = [(finding.rows, finding.count, finding.kind.left_out) for finding in report]
        return found, report.rows, report.used, len(recording.episodes)

    yield "source/report", shown(opened)
    yield "source/summary", summarize(opened)
    joined = open_recording([source, folder / "other"])
    yield "joined", [columns_of(part) for part in joined.episodes]
    yield "joined/summary", summarize(joined)
    edits: dict[str, Callable[[], Any]] = {
        "trim": lambda: tools.trim(source, start=0.5, end=1.0),
        "split": lambda: tools.split(source, seconds=3.0),
        "balance": lambda: tools.balance(source, bins=15, seed=3),
        "leave_out": lambda: tools.leave_out(source, [50, 51, 60]),
    }
    for name, edit in edits.items():
        made = edit()
        yield f"edits/{name}", (made.leave_out, made.cut_before)
        edited = open_recording(source)
        yield f"edits/{name}/rows", [part.row for part in edited.episodes]
        yield f"edits/{name}/report", shown(edited)
    yield from below("merged", files_of(tools.merge([source, folder / "other"], folder / "merged", False)))
    yield "undone", (len(tools.undo(source)), [part.row for part in open_recording(source).episodes])
    fixed = tools.fix(source, progress=False)
    yield "fixed", (fixed.log.read_bytes(), [part.row for part in fixed.episodes])
    yield "checked", [finding.rows for finding in tools.check(source, progress=False)]
    yield "balanced", tools.balanced(np.sin(np.arange(500) / 40.0), 25, None, 1)
    for shuffle in (True, False):
        loader = TrainingLoader(
            fixed, ("center", "left"), Downscale(), batch_size=16, shuffle=shuffle, seed=2
        )
        for epoch in range(2):
            digest = Digest()
            for batch in loader:
                digest.add(batch)
            yield f"loader/{shuffle}/{epoch}", digest.result()
    packed = pack(fixed, folder / "frames.pack", prepare=Downscale(), progress=False)
    into = [np.empty(packed.shape, np.uint8)]
    yield "packed", [(packed.read(i, into), into[0].copy()) for i in (0, 5, len(packed) - 1)]
    packed.close()
    for to in ("lerobot", "minari", "huggingface", "donkeycar"):
        try:
            place = find("convert").save(fixed, folder / f"to-{to}", to)
            back = find("convert").load(place, folder / f"from-{to}", to)
        except udacity_gym.errors.MissingDependencyError:
            continue
        yield f"converted/{to}", [columns_of(part) for part in back.episodes]
        yield f"converted/{to}/images", [frame.image() for frame in back.frames()]
        yield f"converted/{to}/extras", [frame.extra for frame in back.frames()]


TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 32, "threads": 1, "seed": 5, "progress": False}


def training(folder: Path) -> Named:
    """Weights after two epochs of behavioural cloning."""
    sizes: dict[str, Any] = {CAMERA_SIZE: (160, 320), "crop": (60, 135), "size": (66, 200)}
    small = Preprocessing(**sizes, color="rgb")
    past = {PAST_FRAMES: 2}
    variants: dict[str, dict[str, Any]] = {
        "default": {},
        "plain": {
            "loss": "mse", "augmentation": Augmentation(), "side_cameras": 0.0, "balance": 0.0,
            "schedule": "constant", "validation": 0.0, "preprocessing": small,
        },
        "gaussian": {"loss": "gaussian", "inputs": ("speed",), **past, "balance": 1.0, "steps_per_epoch": 4},
        "classes": {"loss": "classes", "throttle": "speed_control", "smoothing": 0.3, "steps_per_epoch": 4},
        "lstm": {"network": "PilotLSTM", **past, "steps_per_epoch": 2, "batch_size": 8},
        "resnet": {"network": "SmallResNet", "throttle": "speed_control", "steps_per_epoch": 2},
        "driving": {"select": "driving", "drive_seconds": 3.0, "steps_per_epoch": 3, "patience": 1},
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, options in variants.items():
            learner = BehavioralCloning(demonstrations(), **{**TRAINING, **options}, folder=folder / name)
            policy = learner.learn()
            yield f"{name}/weights", weights_of(policy)
            yield f"{name}/epochs", epoch_log(learner)
            yield (
                f"{name}/rows",
                [
                    {key: getattr(frames, key) for key in ("steering", "throttle", "speed", "weight", "time")}
                    for frames in (learner.train_frames, learner.validation_frames)
                ],
            )
            yield f"{name}/target_speed", policy.target_speed
            loaded: Any = load_policy(folder / name)
            yield f"{name}/predictions", predictions(loaded)
        weighted = BehavioralCloning(
            [demonstrations(), demonstrations()], weights=(1.0, 3.0), initial=folder / "default",
            **{**TRAINING, "steps_per_epoch": 3, "validation_by": "time"},
        ).learn()  # fmt: skip
        yield "weighted/weights", weights_of(weighted)
        half = folder / "half"
        stopped = BehavioralCloning(demonstrations(), **TRAINING, folder=half)

        def stop(epoch: Any) -> None:
            raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            stopped.learn(stop)
        resumed = BehavioralCloning(demonstrations(), **TRAINING, folder=half).learn()
        yield "resumed/weights", weights_of(resumed)  # the same as of default


def predictions(policy: Any) -> Any:
    """What a policy does on a recording's first frames."""
    found, state = [], None
    for number, frame in enumerate(open_recording(demonstrations()).frames()):
        if number == 12:
            break
        observation: Any = frame.image()
        if "speed" in policy.inputs:
            observation = {"center": observation, "speed": np.array([frame.speed], np.float32)}
        action, state = policy.predict(observation, state, np.array([number == 0]))
        found.append(action)
    return found


ROUNDS: dict[str, Any] = {
    "rounds": 2,
    "frames": 60,
    "epochs": 1,
    "steps_per_epoch": 3,
    "batch_size": 16,
    "threads": 1,
    "side_cameras": 0.0,
    "start": {"s": "random", "offset": (-2.0, 2.0), "heading_error": (-0.2, 0.2), "speed": 8.0},
    "seed": 4,
    "progress": False,
}


def dagger(folder: Path) -> Named:
    """Rounds of all interactive learners: what they record, what they come to, and the weights."""
    env = make_env()
    base = {**ROUNDS, "env": env}
    expert = PurePursuit()
    first = DAgger(expert=expert, folder=folder / "dagger", **{**base, "rounds": 3, "beta": "exponential"})
    demos = folder / "dagger" / "rounds" / "round_000"
    human = ScriptedHuman(PurePursuit(), cte=0.5, reaction_time=0.1, recovered_cte=0.4)
    learners: dict[str, Callable[[], Any]] = {
        "dagger": lambda: first,
        "dagger_put_back": lambda: DAgger(
            demos, expert=expert, folder=folder / "dagger_put_back", beta=0.3,
            **{**base, "put_back": True, ROLLOUTS: 3, "train_on": "last", "warm_start": False, "laps": 0},
        ),
        "hg_dagger": lambda: HGDAgger(
            demos, expert=human, folder=folder / "hg_dagger", **{**base, "rounds": 3, "members": 2}
        ),
        "safe_dagger": lambda: SafeDAgger(demos, expert=expert, folder=folder / "safe_dagger", **base),
        "ensemble_dagger": lambda: EnsembleDAgger(
            demos, expert=expert, folder=folder / "ensemble_dagger", **{**base, "members": 2}
        ),
        "thrifty_dagger": lambda: ThriftyDAgger(
            demos, expert=expert, folder=folder / "thrifty_dagger", **{**base, "members": 2}
        ),
        "dart": lambda: DART(expert=expert, folder=folder / "dart", **{**base, "error": 0.02}),
        "labelled": lambda: DAgger(
            demos, folder=folder / "labelled", **base,
            labeller=lambda frame: -0.2 if frame.row % 3 else "skip",
        ),
        "initial": lambda: DAgger(
            initial=folder / "dagger", expert=expert, folder=folder / "initial",
            **{**base, "inputs": ()},
        ),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in learners.items():
            learner = make()
            policy = learner.learn()
            yield f"{name}/weights", weights_of(policy)
            yield f"{name}/rounds", round_log(learner)
            for number, opened in enumerate(learner.rounds()):
                yield from below(f"{name}/{number}", files_of(opened, round_extra))
            yield f"{name}/predictions", predictions(load_policy(folder / name))
        copied = folder / "copied"
        find("tools").merge([demos], copied, False)
        yield (
            "label_round",
            (
                label_round(copied, lambda frame: (0.1, 0.5) if frame.row < 20 else None, again=True),
                [round_extra(frame) for frame in open_recording(copied).frames()],
            ),
        )
    env.close()


def evaluation(folder: Path) -> Named:
    """Evaluations of experts and policies, and a small suite."""
    env = make_env()
    state = make_env(cameras=())
    steering_only = new_policy(2, 1, actions=("steering",), target_speed=8.0)
    drivers: dict[str, tuple[Any, Any, float]] = {
        "pure_pursuit": (PurePursuit(), state, 60.0),
        "weaver": (Weaver(), state, 90.0),
        "steering_weaver": (Weaver(0.4, ("steering",)), state, 60.0),
        "policy": (new_policy(1), env, 15.0),
        "steering_only": (steering_only, env, 12.0),
        "policy_expert": (PolicyExpert(steering_only), WithoutStepLength(env), 6.0),
        "standing": (lambda observation, info: np.zeros(2, np.float32), state, 20.0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (driver, where, seconds) in drivers.items():
            for criterion in ("edge", "reference", "road"):
                starts: list[Any] = [None]
                if where is state:
                    starts.append({"s": "random", "direction": "reverse", "conditions": "ice"})
                for i, start in enumerate(starts):
                    found = evaluate(
                        driver, where, 1, seed=3, max_seconds=seconds, intervene=criterion, start=start
                    )
                    yield f"{name}/{criterion}/{i}/summary", found.summary()
                    yield f"{name}/{criterion}/{i}/incidents", found.incidents
                    yield f"{name}/{criterion}/{i}/trajectory", found.trajectory
        jungle = make_env(track="jungle", cameras=())
        expert = make_expert("racing", find("Track").load("jungle"))
        found = evaluate(expert, jungle, 2, max_seconds=45.0)
        yield "jungle", (found.summary(), found.trajectory, json.loads(found.to_json()))
        suite = Suite(
            "fingerprint-v1",
            (*scenarios(("lake",)), Scenario("jungle", "forward", "rain"), Scenario("lake", "reverse")),
            seeds=(0, 3),
            intervene=("edge", "road"),
            max_seconds=2.0,
        )
        results = []
        for name, driver in (
            ("expert", "pure_pursuit"),
            ("policy", new_policy(3)),
            ("steering_only", steering_only),
            ("noisy", ForEachTrack(_noisy, "noisy")),
        ):
            kept = run_suite(driver, suite, folder=folder / name, name=name)
            loaded = SuiteResult.load(folder / name)
            results.append(loaded)
            yield f"suite/{name}", [(e.case, e.evaluation.summary()) for e in kept.episodes]
            yield f"suite/{name}/incidents", [e.evaluation.incidents for e in kept.episodes]
            yield f"suite/{name}/trajectories", [e.evaluation.trajectory for e in loaded.episodes]
            yield f"suite/{name}/measures", loaded.measures()
            films = sorted((folder / name).rglob("*.jpg")) + sorted((folder / name).rglob("*.png"))
            yield f"suite/{name}/films", [path.read_bytes() for path in films]
        yield "suite/compared", _numbers(compare(results).summary())
    env.close()
    state.close()
    jungle.close()


def _noisy(track: Any) -> NoisyExpert:
    return NoisyExpert(make_expert("pure_pursuit", track), Noise.of(0.6, correlation=2.0), seed=3)


def _numbers(value: Any) -> Any:
    """A summary without its texts."""
    if isinstance(value, Mapping):
        return {name: _numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(item) for item in value]
    return None if isinstance(value, str) else value


def physics(folder: Path) -> Named:
    """Where the car goes, and what experts do: laps, noise, humans."""
    for name, track in tracks().items():
        loaded = find("Track").load(track)
        columns = {c: getattr(loaded, c) for c in ("s", "x", "y", "z", "heading", "curvature")}
        yield f"track/{name}", (columns, loaded.data, loaded.reversed().x, loaded.starts)
        for direction in ("forward", "reverse"):
            line = racing_line(loaded.facing(direction))
            yield f"racing_line/{name}/{direction}", (line.offset, line.speed, line.curvature)
        env = make_env(track=track, cameras=())
        for expert_name, steps in (("pure_pursuit", 1500), ("racing", 1500), ("pid", 600)):
            expert = make_expert(expert_name, loaded)
            yield from digests(f"lap/{name}/{expert_name}", drive(env, expert, steps, seed=1))
        env.close()
    for ctrl_dt in (1 / 60, 1 / 15, 0.25):
        for mode in ("autonomous", "training"):
            env = make_env(cameras=(), ctrl_dt=ctrl_dt, mode=mode)
            yield from digests(f"wander/{ctrl_dt:.3f}/{mode}", drive(env, Plan(1), 300, seed=2))
            env.close()
    env = make_env(cameras=(), track="jungle")
    jungle = PurePursuit("jungle")
    for name, noise in (("white", Noise.of(0.2, 0.1)), ("correlated", Noise.of(0.3, 0.1, correlation=1.0))):
        noisy = NoisyExpert(jungle, noise, seed=6)
        episodes = []
        for seed in (1, 2):  # noise goes on from episode to episode, so these differ
            observation, info = env.reset(seed=1)
            actions = []
            for _ in range(150):
                action = noisy(observation, info)
                actions.append((action, noisy.label))
                observation, _, terminated, _, info = env.step(action)
                if terminated:
                    break
            episodes.append(fingerprint(actions))
            yield f"noisy/{name}/{seed}", actions
        assert episodes[0] != episodes[1], "the noise of two episodes must not be the same"
        observation, info = env.reset(seed=1)
        noisy.reset(env, info, 6)
        yield f"noisy/{name}/reset", noisy(observation, info)
    rng = np.random.default_rng(4)
    wanted = rng.normal(0, 0.2, (200, 2))
    fitted = Noise.fitted(wanted, wanted + rng.normal(0, 0.1, (200, 2)), error=0.02, dt=1 / 15)
    yield "noisy/fitted", fitted
    for reaction in (0.0, 0.4):
        human = ScriptedHuman(jungle, cte=0.5, reaction_time=reaction, recovered_cte=0.3, seed=2)
        answers = []
        observation, info = env.reset(seed=3, options={"offset": 2.5, "speed": 5.0})
        human.reset(env, info, 9)
        for _ in range(250):
            answer = human(observation, info)
            answers.append(answer)
            action = np.array([0.1, 0.4], np.float32) if answer is None else answer
            observation, _, terminated, _, info = env.step(action)
            if terminated:
                observation, info = env.reset(options={"offset": 2.5})
        yield f"human/{reaction}", answers
    env.close()


SECTIONS: Mapping[str, Callable[[Path], Named]] = {
    "images": images,
    "evaluation": evaluation,
    "dagger": dagger,
    "training": training,
    "episode": episode,
    "physics": physics,
    "reading": reading,
    "recording": recording,
}
"""What is computed, the longest first."""

# ---- The command


class Options(NamedTuple):
    """What was asked for on the command line."""

    output: Path | None
    only: Sequence[str]
    compare: Sequence[Path] | None
    jobs: int


def read_options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, help="file to write, JSON {name: fingerprint}")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, of {','.join(SECTIONS)}")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"), help="files to compare")
    parser.add_argument("--jobs", type=int, default=2, help="sections computed at the same time (default: 2)")
    given = parser.parse_args()
    only = given.only.split(",")
    if set(only) - set(SECTIONS):
        parser.error(f"unknown sections {sorted(set(only) - set(SECTIONS))}; there are {', '.join(SECTIONS)}")
    if (given.output is None) == (given.compare is None):
        parser.error("give either a file to write or --compare BEFORE AFTER")
    return Options(given.output, only, given.compare, given.jobs)


def compute(only: Sequence[str], jobs: int) -> dict[str, str]:
    """All fingerprints of some sections, by name."""
    print(f"fingerprints of the code in {Path(udacity_gym.__file__).parents[1]}", flush=True)
    found: dict[str, str] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for section, (fingerprints, seconds) in zip(only, pool.map(compute_section, only), strict=True):
            found.update(fingerprints)
            print(f"{section:<12} {len(fingerprints):4} fingerprints in {seconds:5.1f} s", flush=True)
    return found


def compute_section(section: str) -> tuple[dict[str, str], float]:
    """The fingerprints of a section by name, and the seconds that it took."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    began = time.perf_counter()
    found: dict[str, str] = {}
    demonstrations.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        WORK.path = Path(folder)
        place = WORK.path / section
        place.mkdir()
        for name, value in SECTIONS[section](place):
            full = f"{section}/{name}"
            assert full not in found, f"two fingerprints are called {full}"
            found[full] = fingerprint(value)
    return found, time.perf_counter() - began


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not the same, a line each."""
    lines = []
    for name in sorted({*before, *after}):
        if name not in after:
            lines.append(f"missing after:  {name}")
        elif name not in before:
            lines.append(f"missing before: {name}")
        elif before[name] != after[name]:
            lines.append(f"differs:        {name}")
    return lines


def main() -> int:
    """Run the command; 1 if a comparison finds a difference."""
    options = read_options()
    if options.compare is not None:
        before, after = (json.loads(path.read_text(encoding="utf-8")) for path in options.compare)
        lines = differences(before, after)
        print("\n".join([*lines, f"{len(lines)} of {len({*before, *after})} fingerprints differ"]))
        return 1 if lines else 0
    assert options.output is not None
    options.output.write_text(
        json.dumps(compute(options.only, options.jobs), indent=1, sort_keys=True) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
