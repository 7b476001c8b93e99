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


class EnvPool:
    """Cars of EnvPool, which begins new episodes by itself."""

    def __init__(self, cars: int) -> None:
        import envpool

        self.envs = envpool.make("CarRacing-v3", "gymnasium", num_envs=cars, num_threads=1)
        self.cars = cars

    def reset(self) -> Any:
        """Images of all cars, (cars, 96, 96, 3)."""
        return self.envs.reset()[0]

    def step(self, actions: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive all cars."""
        return self.envs.step(actions)[0], 0.0, False, False, {}


def envpool_car_racing() -> tuple[Any, Any, str]:
    """EnvPool's CarRacing in C++, 8 cars in one thread, 96x96 RGB."""
    import numpy as np

    env, rng = EnvPool(8), np.random.default_rng(0)
    low, high = (-0.2, 0.0, 0.0), (0.2, 0.2, 0.0)
    return env, lambda: rng.uniform(low, high, (8, 3)).astype(np.float32), version("envpool")


class Doom:
    """ViZDoom's maze "my way home", one tic of the game for each step."""

    def __init__(self, width: int, height: int) -> None:
        import vizdoom

        self.game = vizdoom.DoomGame()
        self.game.load_config(str(Path(vizdoom.scenarios_path) / "my_way_home.cfg"))
        self.game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{width}X{height}"))
        self.game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        self.game.set_window_visible(False)
        self.game.set_mode(vizdoom.Mode.PLAYER)
        self.game.init()

    def reset(self) -> Any:
        """The first image."""
        self.game.new_episode()
        return self.game.get_state().screen_buffer

    def step(self, buttons: list[float]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act for a tic."""
        reward = self.game.make_action(buttons, 1)
        if self.game.is_episode_finished():
            self.game.new_episode()
        return self.game.get_state().screen_buffer, reward, False, False, {}


def vizdoom_320x180() -> tuple[Any, Any, str]:
    """ViZDoom, 320x180 RGB."""
    import random

    return Doom(320, 180), lambda: random.choice(([1, 0, 0], [0, 1, 0], [0, 0, 1])), version("vizdoom")


def vizdoom_160x120() -> tuple[Any, Any, str]:
    """ViZDoom, 160x120 RGB."""
    import random

    return Doom(160, 120), lambda: random.choice(([1, 0, 0], [0, 1, 0], [0, 0, 1])), version("vizdoom")


ENVIRONMENTS = {
    made.__name__: made
    for made in (
        car_racing,
        envpool_car_racing,
        vizdoom_320x180,
        vizdoom_160x120,
        highway,
        metadrive,
        metadrive_lidar,
        duckietown,
    )
}


def children() -> list[str]:
    """Process numbers of the programs that this one runs: ViZDoom is one. Only Linux tells."""
    files = Path("/proc/self/task").glob("*/children")
    return [number for file in files for number in file.read_text().split()]


def processor_time() -> float:
    """Seconds that this process, and those that it runs, had on a core."""
    seconds = time.process_time()
    for number in children():
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def peak_memory() -> float:
    """MB that this process, and those that it runs, have taken at most."""
    if Path("/proc/self/status").exists():  # what `resource` tells includes the program that started this one
        megabytes = 0.0
        for number in ("self", *children()):
            lines = Path(f"/proc/{number}/status").read_text().splitlines()
            megabytes += float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
        return megabytes
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def image_of(observation: Any) -> Any:
    """The newest image of an observation, as an array."""
    import numpy as np

    if isinstance(observation, dict):
        observation = observation["image"]
    image = np.asarray(observation)
    return image[0] if image.ndim == 4 and image.dtype == np.uint8 and image.shape[-1] == 3 else image


def main() -> None:
    """Measure and print."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    os.environ.setdefault("PYGLET_HEADLESS", "1")  # Duckietown without a display
    os.environ.pop("SDL_VIDEODRIVER", None)  # "dummy" makes highway-env's images black without a word
    env, act, release = ENVIRONMENTS[name]()

    def reset() -> Any:
        report = env.reset()
        return report[0] if isinstance(report, tuple) else report

    cars = getattr(env, "cars", 1)
    image = image_of(reset())
    first = image.copy()
    for _ in range(20):  # warm up
        env.step(act())
    rates = []
    for _ in range(3):
        steps, begun, cpu = 0, time.perf_counter(), processor_time()
        while time.perf_counter() - begun < seconds / 3:
            observation, _, *over, _ = env.step(act())
            steps += cars
            if any(over):
                reset()
        rates.append((steps / (time.perf_counter() - begun), steps / (processor_time() - cpu)))
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
