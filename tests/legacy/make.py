"""Makes the files beside it: data that version 0.1 has written, which later versions must still read.

    PYTHONPATH=. python tests/legacy/make.py

This was run once, with the code as it was before modules, names and formats changed; it does not run with
other code. ``tests/test_legacy.py`` reads the files. They are as small as possible: images of 32 x 64 pixels,
a network of a few hundred weights, drives of less than a second.

    recording/       ten frames of NoisyExpert(PurePursuit), with side file; one frame is left out by an edit
    policy/          a policy that sees the speed and one past image
    steering_policy/ a policy that only steers
    ensemble/        two policies as one
    training/        behavioural cloning on recording/, stopped after the first of two epochs
    dagger/          DAgger, stopped after rounds 0 and 1 of three
    hg_dagger/       HGDAgger on round 0 of dagger/, stopped likewise
    suites/          the first of two drives of a suite, by different drivers
    track.json       a generated track
    evaluation.json  an evaluation with its trajectory
    expected.json    what the code of then read and computed from these files
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from algorithms.losses import Gaussian
from algorithms.networks import NETWORKS, make_network
from tiny_network import TinyNetwork
from udacity_gym.world.generator import generate_track

import udacity_gym
from algorithms import (
    BehavioralCloning,
    DAgger,
    Ensemble,
    HGDAgger,
    NetworkPolicy,
    Preprocessing,
    load_policy,
)
from udacity_gym.cli.shared import load_driver
from udacity_gym.evaluation import ForEachTrack, Suite, evaluate, run_suite, scenarios
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.experts import (
    PID,
    Noise,
    NoisyExpert,
    PolicyExpert,
    PurePursuit,
    Racing,
    ScriptedHuman,
    make_expert,
)
from udacity_gym.recording import open_recording, record, summarize
from udacity_gym.recording.tools import leave_out
from udacity_gym.world.track import Track

HERE = Path(__file__).parent
PICTURE = (32, 64)
PREPROCESSING = Preprocessing(picture=PICTURE, crop=(12, 27), size=(8, 24))
SETTINGS: dict[str, Any] = {
    "network": "TinyNetwork",
    "preprocessing": PREPROCESSING,
    "batch_size": 4,
    "threads": 1,
    "side_cameras": 0.0,
    "progress": False,
}
ROUNDS: dict[str, Any] = {**SETTINGS, "rounds": 3, "frames": 8, "epochs": 1, "steps_per_epoch": 2, "seed": 7}
SUITE = Suite("legacy-v1", scenarios(), seeds=(0, 1), intervene=("edge",), max_seconds=0.6)

NETWORKS["TinyNetwork"] = TinyNetwork


class StoppedError(Exception):
    """Ends a learner where a user would have pressed Ctrl-C."""


def stop_after(number: int) -> Any:
    """A callback that stops a learner after so many epochs or rounds."""
    calls: list[Any] = []

    def after(outcome: Any) -> None:
        calls.append(outcome)
        if len(calls) == number:
            raise StoppedError

    return after


def stopped(learner: Any, after: int) -> None:
    """Let a learner learn until it is stopped."""
    try:
        learner.learn(stop_after(after))
    except StoppedError:
        return
    raise AssertionError("it was not stopped")


def new(name: str) -> Path:
    """A folder that is not there yet."""
    shutil.rmtree(HERE / name, ignore_errors=True)
    return HERE / name


def images(count: int) -> np.ndarray[Any, Any]:
    """Images that need no file: (count, 32, 64, 3) uint8."""
    grid = np.arange(count * 32 * 64 * 3, dtype=np.int64).reshape(count, 32, 64, 3)
    return (grid * 31 % 251).astype(np.uint8)


def predictions(policy: Any) -> list[list[float]]:
    """What a policy does on four images, one after the other."""
    found, state = [], None
    for i, image in enumerate(images(4)):
        speed = {"speed": np.array([2.0 * i], np.float32)}
        observation = {"center": image, **speed} if policy.inputs else image
        action, state = policy.predict(observation, state, np.array([i == 0]))
        found.append(action.tolist())
    return found


def shown(recording: Any) -> dict[str, Any]:
    """The values of a recording."""
    columns = ("steering", "throttle", "brake", "speed", "time", "row")
    return {
        "episodes": [{name: getattr(e, name).tolist() for name in columns} for e in recording.episodes],
        "extras": [frame.extra for frame in recording.frames()],
        "means": [float(frame.image().mean()) for frame in recording.frames()],
        "cameras": list(recording.cameras),
    }


def arrays_of(track: Track) -> str:
    """A hash of a track's arrays and of NumPy's version, on which some old identities depend."""
    names = ("s", "x", "y", "z", "heading", "curvature")
    found = hashlib.sha256(b"".join(getattr(track, name).tobytes() for name in names))
    found.update(np.__version__.encode())
    return found.hexdigest()


def main() -> None:
    """Make everything."""
    torch.set_num_threads(1)
    expected: dict[str, Any] = {
        "made_with": {"version": udacity_gym.__version__, "python": platform.python_version()}
    }

    env = gym.make("UdacitySim-v0", picture=PICTURE, mode="training")
    folder = new("recording")
    noisy = NoisyExpert(PurePursuit(), Noise.of(0.2, correlation=0.5), seed=1)
    record(
        env, noisy, folder, seconds=0.5, seed=2, start=datetime.datetime(2024, 5, 1, 12), allow_missing=True
    )
    record(
        env, noisy, folder, seconds=0.2, seed=3, start=datetime.datetime(2024, 5, 1, 13), append=True,
        allow_missing=True,
    )  # fmt: skip
    leave_out(folder, [4])
    opened = open_recording(folder)
    summary = summarize(opened)
    expected["recording"] = shown(opened) | {
        "frames": len(opened),
        "drivers": summary.drivers,
        "laps": summary.laps,
    }
    env.close()

    torch.manual_seed(0)
    loss = Gaussian()
    network = make_network("TinyNetwork", 2 * loss.width, 1, frames=2, measurements=1)
    policy = NetworkPolicy(network, PREPROCESSING, loss=loss, inputs=("speed",), history=1)
    policy.training = {"settings": {"history": 1}, "note": "kept for people"}
    policy.save(new("policy"))
    steering = NetworkPolicy(make_network("TinyNetwork", 1, 2), PREPROCESSING, ("steering",), 8.0)
    steering.save(new("steering_policy"))
    members = [NetworkPolicy(make_network("TinyNetwork", 2, seed), PREPROCESSING) for seed in (3, 4)]
    Ensemble(members).save(new("ensemble"))
    for name in ("policy", "steering_policy", "ensemble"):
        expected[name] = {"predictions": predictions(load_policy(HERE / name))}
    kinds = {"PilotNet": (2, 3, 1), "PilotLSTM": (2, 3, 1), "SmallResNet": (2, 1, 0)}
    expected["networks"] = {
        name: {
            key: list(value.shape)
            for key, value in make_network(name, outputs, frames=frames, measurements=numbers)
            .state_dict()
            .items()
        }
        for name, (outputs, frames, numbers) in kinds.items()
    }

    cloning = {**SETTINGS, "epochs": 2, "seed": 5, "inputs": ("speed",), "history": 1}
    whole = BehavioralCloning(HERE / "recording", **cloning)
    finished = whole.learn()
    stopped(BehavioralCloning(HERE / "recording", **cloning, folder=new("training")), 1)
    shutil.rmtree(HERE / "training" / "tensorboard", ignore_errors=True)
    expected["training"] = {
        "predictions": predictions(finished),
        "train_losses": [epoch.train_loss for epoch in whole.history],
    }

    env = gym.make("UdacitySim-v0", picture=PICTURE)
    stopped(DAgger(env=env, expert=PurePursuit(), folder=new("dagger"), **ROUNDS), 2)
    human = ScriptedHuman(PurePursuit(), cte=0.5, reaction_time=0.0, recovered_cte=0.3)
    start = {"s": "random", "heading_error": 0.12, "speed": 8.0}
    hg = {**ROUNDS, "frames": 16, "drives": 1, "members": 2, "start": start}
    demonstrations = HERE / "dagger" / "rounds" / "round_000"
    stopped(HGDAgger(demonstrations, env=env, expert=human, folder=new("hg_dagger"), **hg), 2)
    env.close()

    track = generate_track(3, difficulty=0.1, length=400.0, surroundings="desert")
    track.save(HERE / "track.json")
    expected["track"] = {"length": track.length, "x": track.x[::100].tolist(), "z": track.z[::100].tolist()}
    state = gym.make("UdacitySim-v0", cameras=(), track=HERE / "track.json")
    found = evaluate(PID(), state, 1, max_seconds=1.5)
    found.save(HERE / "evaluation.json")
    expected["evaluation"] = {**found.summary(), "rows": len(found.trajectory)}
    state.close()

    drivers: dict[str, Any] = {
        "pid": PID(speed=9.0),
        "by_name": "pure_pursuit",
        "command": ForEachTrack(partial(load_driver, "expert"), "expert"),
        "pure_pursuit": PurePursuit(),
        "policy": load_policy(HERE / "policy"),
        "ensemble": load_policy(HERE / "ensemble"),
        "policy_expert": PolicyExpert(load_policy(HERE / "steering_policy")),
        "noisy": NoisyExpert(PID(), seed=3),
    }
    shutil.rmtree(HERE / "suites", ignore_errors=True)
    for name, driver in drivers.items():
        run_suite(driver, SUITE, folder=HERE / "suites" / name, name=name)
        path = HERE / "suites" / name / "episodes.jsonl"
        first, _ = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first)

    drivers["by_name"] = ForEachTrack(partial(make_expert, "pure_pursuit"), "pure_pursuit")
    drivers["function"] = ForEachTrack(partial(make_expert, "pid", speed=9.0), "pid")
    drivers["racing"] = Racing()
    drivers["human"] = ScriptedHuman(PID())
    expected["identities"] = {name: identity_of(driver) for name, driver in drivers.items()}
    expected["set"] = identity_of({"a", "b", frozenset("cde")})
    expected["arrays"] = arrays_of(Track.load("lake"))
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
