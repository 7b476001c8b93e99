"""Steps per second with images in one process: ours by size, cars and track, and what people use.

    python benchmarks/env_speed.py                        # ours, about a minute and a half
    python benchmarks/env_speed.py --others FOLDER        # and others, each installed once into FOLDER/NAME
    python benchmarks/env_speed.py --only cars tracks     # some of the tables

A row is the median of several runs. "wall" is by the clock on the wall, "processor" by the time that this
process had on a core, the fairer one where other programs share it. A step is one car's, returned to Python
with its image: of 8 cars that step once, 8. Cars drive recorded actions of an expert, or, many in one
environment, gently straight on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from others.environment import make_environment

from udacity_gym.env import UdacityEnv
from udacity_gym.experts import PurePursuit
from udacity_gym.telemetry import CAMERAS
from udacity_gym.vector import UdacityVectorEnv

TABLES = ("single", "sizes", "cars", "tracks", "memory", "others")
SIZES = ((160, 320), (66, 200), (84, 84), (96, 96), (120, 160), (320, 640))
CARS = (1, 2, 4, 8, 16, 32, 64)
TRACKS = ("lake", "jungle", "mountain")
SINGLE: dict[str, dict[str, Any]] = {
    "no camera (state vector)": {"cameras": ()},
    "one camera, 320x160": {},
    "one camera, 200x66": {"image": (66, 200)},
    "one camera, 84x84": {"image": (84, 84)},
    "three cameras, 320x160": {"cameras": CAMERAS},
    "one camera with depth and labels": {"sensors": ("depth", "segmentation")},
}
OTHERS: dict[str, tuple[str, ...]] = {
    "car_racing": ("gymnasium[box2d]>=1.1",),
    "envpool_car_racing": ("envpool",),
    "vizdoom_320x180": ("vizdoom",),
    "vizdoom_160x120": ("vizdoom",),
    "highway": ("highway-env>=1.10", "gymnasium>=1.0"),
    "metadrive": ("metadrive-simulator",),
    "metadrive_lidar": ("metadrive-simulator",),
    # It was made for the NumPy and the pyglet of its time; without a display it needs EGL.
    "duckietown": (
        "duckietown-gym-daffy",
        "pyglet<2",
        "numpy<1.24",
        "scipy<1.12",
        "opencv-python<4.10",
        "opencv-python-headless<4.10",
    ),
}
"""Others by the names of `others/camera_env.py`, and what pip installs for them."""


class Clock:
    """Median rates of several runs, by the wall and by the processor."""

    def __init__(self, runs: int, seconds: float) -> None:
        self._runs, self._seconds = runs, seconds

    def rates(self, step: Callable[[], object], each: int = 1) -> tuple[float, float]:
        """Steps per second of something that makes ``each`` steps at once."""
        for _ in range(3):  # compile, build the scene, warm the caches
            step()
        wall, cpu = [], []
        for _ in range(self._runs):
            steps, begun, begun_cpu = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - begun < self._seconds or steps == 0:
                step()
                steps += each
            wall.append(steps / (time.perf_counter() - begun))
            cpu.append(steps / (time.process_time() - begun_cpu))
        return statistics.median(wall), statistics.median(cpu)


def driving(**arguments: Any) -> Callable[[], object]:
    """A step of one car that drives around the track again and again."""
    blind, expert = UdacityEnv(cameras=(), track=arguments.get("track", "lake")), PurePursuit()
    observation, info = blind.reset(seed=0)
    actions: list[NDArray[np.float32]] = []
    for _ in range(600):
        actions.append(expert(observation, info))
        observation, _, _, _, info = blind.step(actions[-1])
    env, taken = UdacityEnv(**arguments), 0

    def step() -> object:
        nonlocal taken
        if taken % len(actions) == 0:
            env.reset(seed=0)
        taken += 1
        return env.step(actions[(taken - 1) % len(actions)])

    return step


def together(cars: int, **arguments: Any) -> Callable[[], object]:
    """A step of many cars that start all over the lap."""
    envs = UdacityVectorEnv(cars, max_seconds=60, **arguments)
    envs.reset(seed=0, options={"s": "random", "speed": 5.0})
    actions = np.tile(np.array([0.0, 0.05], np.float32), (cars, 1))
    return lambda: envs.step(actions)


def row(name: str, rates: tuple[float, float], pixels: float, also: str = "") -> None:
    """Print a line of a table."""
    wall, cpu = rates
    print(f"{name:<34}{wall:>9,.0f}{cpu:>11,.0f}{cpu * pixels / 1e6:>14.1f}  {also}", flush=True)


def heading(title: str) -> None:
    """Print the head of a table."""
    print(f"\n{title:<34}{'wall':>9}{'processor':>11}{'Mpixels/s':>14}")


def memory_of(cars: int) -> float:
    """Peak memory in MB of a process with this number of cars."""
    program = (
        "import numpy as np; from udacity_gym.vector import UdacityVectorEnv; "
        "from others.camera_env import peak_memory; "
        f"envs = UdacityVectorEnv({cars}); envs.reset(seed=0); "
        f"[envs.step(np.zeros(({cars}, 2), np.float32)) for _ in range(3)]; "
        "print(peak_memory())"
    )
    paths = os.pathsep.join(path for path in (str(Path(__file__).parent), *sys.path) if path)
    completed = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    return float(completed.stdout)


def measure_other(name: str, folder: Path, seconds: float) -> None:
    """Install and measure another environment, or say why that is impossible here."""
    env_folder = folder / name.partition("_")[0]
    script = Path(__file__).parent / "others" / "camera_env.py"
    try:
        python = make_environment(name, *OTHERS[name], folder=env_folder)
        command = [str(python), str(script), name, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=env_folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        print(f"{name:<34}left out: {error}")
        return
    if done.returncode != 0:
        reasons = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        print(f"{name:<34}left out: {reasons[-1][:160]}")
        return
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    shape = measured["shape"] if measured["image"] else [0, 0]
    black = ", BLACK" if measured["black"] else "" if measured["changes"] else ", NEVER CHANGES"
    what = "x".join(map(str, measured["shape"])) if measured["image"] else "no image"
    pixels = shape[0] * shape[1] if len(shape) < 3 or shape[0] > 4 else shape[1] * shape[2]
    also = f"{what}{black}, version {measured['version']}, {measured['memory']:.0f} MB"
    row(name, (measured["wall"], measured["processor"]), pixels, also)


def main() -> None:
    """Measure and print tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--others", type=Path, metavar="FOLDER", help="measure others, installed there")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, help="which tables")
    parser.add_argument("--runs", type=int, default=3, help="runs per row, the median counts")
    parser.add_argument("--seconds", type=float, default=0.6, help="of a run")
    options = parser.parse_args()
    clock = Clock(options.runs, options.seconds)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = f"Python {platform.python_version()}, gymnasium {gymnasium.__version__}"
    print(f"{versions}, {os.cpu_count()} cores{load}")

    if "single" in options.only:
        heading("steps/s, one car")
        for name, arguments in SINGLE.items():
            height, width = arguments.get("image", (160, 320))
            pixels = height * width * len(arguments.get("cameras", ("center",)))
            row(name, clock.rates(driving(**arguments)), pixels)
    if "sizes" in options.only:
        heading("steps/s, 8 cars, by image")
        for height, width in SIZES:
            rates = clock.rates(together(8, image_size=(height, width)), 8)
            row(f"{width}x{height}", rates, height * width)
    if "cars" in options.only:
        for height, width in ((66, 200), (84, 84)):
            heading(f"steps/s, by cars, {width}x{height}")
            for cars in CARS:
                rates = clock.rates(together(cars, image_size=(height, width)), cars)
                row(f"{cars} cars", rates, height * width)
    if "tracks" in options.only:
        heading("steps/s, 8 cars, by track, 320x160")
        for track in TRACKS:
            step = together(8, track=track)
            row(track, clock.rates(step, 8), 320 * 160)
    if "memory" in options.only:
        print(f"\n{'memory of the process, 320x160':<34}{'MB':>9}")
        for cars in (1, 8, 64):
            print(f"{cars:<34}{memory_of(cars):>9.0f}", flush=True)
    if options.others is not None and "others" in options.only:
        heading("steps/s of others, one process")
        for name in OTHERS:
            measure_other(name, options.others.resolve(), 6.0)


if __name__ == "__main__":
    main()
