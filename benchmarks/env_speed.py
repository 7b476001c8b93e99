"""Steps per second of one environment in one process, with and without pictures.

Every row is the median of several runs of a fixed number of steps under an expert's actions recorded
beforehand, so that the car drives a lap and the expert's own time does not count.

Run it with: python benchmarks/env_speed.py
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import gymnasium
import numpy as np
from numpy.typing import NDArray

import udacity_gym
from udacity_gym.experts import PurePursuit
from udacity_gym.telemetry import CAMERAS

SETTINGS = {
    "no camera (state vector)": (),
    "one camera, 320x160": ("center",),
    "three cameras, 320x160": CAMERAS,
}


def expert_actions(count: int) -> list[NDArray[np.float32]]:
    """Actions that drive ``count`` steps around the lake."""
    env, expert = gymnasium.make(udacity_gym.ENV_ID, cameras=()), PurePursuit()
    observation, info = env.reset(seed=0)
    actions = []
    for _ in range(count):
        actions.append(expert(observation, info))
        observation, _, _, _, info = env.step(actions[-1])
    return actions


def steps_per_second(cameras: tuple[str, ...], actions: list[NDArray[np.float32]]) -> float:
    """Drive the actions once and take the time."""
    env = gymnasium.make(udacity_gym.ENV_ID, cameras=cameras).unwrapped
    env.reset(seed=0)
    begin = time.perf_counter()
    for action in actions:
        env.step(action)
    return len(actions) / (time.perf_counter() - begin)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1500, help="steps per run with pictures")
    parser.add_argument("--runs", type=int, default=5, help="runs per row, the median counts")
    options = parser.parse_args()

    print(f"Python {platform.python_version()}, gymnasium {gymnasium.__version__}, {os.cpu_count()} cores")
    print(f"{'setting':<28}{'steps/s':>10}{'pictures/s':>12}{'x real time':>13}")
    actions = expert_actions(10 * options.steps)
    for name, cameras in SETTINGS.items():
        used = actions if not cameras else actions[: options.steps]
        steps_per_second(cameras, used[:10])  # compile and build the scene first
        rate = statistics.median(steps_per_second(cameras, used) for _ in range(options.runs))
        print(f"{name:<28}{rate:>10.0f}{rate * len(cameras):>12.0f}{rate / 15:>13.0f}")


if __name__ == "__main__":
    main()
