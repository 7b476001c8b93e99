"""Steps per second of one other environment with a camera, in one process; prints a line of JSON.

Runs in a virtual environment of its own, see `env_speed.py`, so it imports nothing of this project.
Every step returns the image, which must not be black or for ever the same.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def car_racing() -> tuple[Any, Any, str]:
    """Gymnasium's CarRacing, 96x96 RGB."""
    import gymnasium

    env = gymnasium.make("CarRacing-v3")
    return env, lambda: env.action_space.sample() * [0.2, 0.2, 0.0], version("gymnasium")


def highway() -> tuple[Any, Any, str]:
    """HighwayEnv with its grey image from above, 128x64, four frames stacked."""
    import gymnasium
    import highway_env

    gymnasium.register_envs(highway_env)
    grey = {"type": "GrayscaleObservation", "observation_shape": (128, 64), "stack_size": 4}
    grey |= {"weights": [0.2989, 0.5870, 0.1140], "scaling": 1.75}
    config = {"observation": grey, "offscreen_rendering": True, "duration": 10**6}
    env = gymnasium.make("highway-fast-v0", config=config)
    return env, lambda: 1, version("highway-env")


def metadrive() -> tuple[Any, Any, str]:
    """MetaDrive with an RGB camera, 320x160, without traffic."""
    from metadrive.component.sensors.rgb_camera import RGBCamera
    from metadrive.envs import MetaDriveEnv

    config = {
        "image_observation": True,
        "image_on_cuda": False,
        "vehicle_config": {"image_source": "rgb_camera"},
        "sensors": {"rgb_camera": (RGBCamera, 320, 160)},
        "stack_size": 1,
        "traffic_density": 0.0,
        "log_level": 50,
    }
    env = MetaDriveEnv(config)
    return env, lambda: [0.0, 0.2], version("metadrive-simulator")


def metadrive_lidar() -> tuple[Any, Any, str]:
    """MetaDrive without image: lidar, without traffic."""
    from metadrive.envs import MetaDriveEnv

    env = MetaDriveEnv({"traffic_density": 0.0, "log_level": 50})
    return env, lambda: [0.0, 0.2], version("metadrive-simulator")


def duckietown() -> tuple[Any, Any, str]:
    """Duckietown's simulator, 160x120 RGB."""
    from gym_duckietown.envs import DuckietownEnv

    env = DuckietownEnv(map_name="udem1", camera_width=160, camera_height=120, domain_rand=False)
    return env, lambda: (0.3, 0.0), version("duckietown-gym-daffy")


ENVIRONMENTS = {made.__name__: made for made in (car_racing, highway, metadrive, metadrive_lidar, duckietown)}


def peak_memory() -> float:
    """MB that this process has taken at most."""
    status = Path("/proc/self/status")
    if status.exists():  # what `resource` tells includes the program that started this one
        report = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(report.split()[1]) / 1024
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def image_of(observation: Any) -> Any:
    """The newest image of an observation, as an array."""
    import numpy as np

    if isinstance(observation, dict):
        observation = observation["image"]
    return np.asarray(observation)


def main() -> None:
    """Measure and print."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    os.environ.setdefault("PYGLET_HEADLESS", "1")  # Duckietown without a display
    os.environ.pop("SDL_VIDEODRIVER", None)  # "dummy" makes highway-env's images black without a word
    env, act, release = ENVIRONMENTS[name]()

    def reset() -> Any:
        report = env.reset()
        return report[0] if isinstance(report, tuple) else report

    image = image_of(reset())
    first = image.copy()
    for _ in range(20):  # warm up
        env.step(act())
    rates = []
    for _ in range(3):
        steps, begun, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds / 3:
            observation, _, *over, _ = env.step(act())
            steps += 1
            if any(over):
                reset()
        rates.append((steps / (time.perf_counter() - begun), steps / (time.process_time() - cpu)))
    image = image_of(observation)
    wall, processor = sorted(rates)[1]
    report = {
        "version": release,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "image": image.ndim >= 2 and name != "metadrive_lidar",
        "black": bool(image.ndim >= 2 and (image.max() == image.min())),
        "changes": bool((image != first).any()),
        "wall": wall,
        "processor": processor,
        "memory": peak_memory(),
    }
    print("\n" + json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
