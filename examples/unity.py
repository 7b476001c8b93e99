"""Drive Udacity's Unity simulator with a policy, an expert, or a few lines of your own.

The environment is the server, as drive.py was. It waits for a simulator that you start, or starts a Unity
build itself:

    python examples/unity.py my-policy                         # then start the simulator: Autonomous Mode
    python examples/unity.py my-policy --simulator path/to/beta_simulator_linux
    python examples/unity.py model.h5                          # a Keras model of the course

Without a policy, a few lines follow the road by its colour. To try it without Unity, start our simulator in
another terminal: udacity-gym sim --track lake

The program checks that the car has driven some metres. Udacity's first simulators do not report where the
car is, so this is all that can be checked there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import udacity_gym
from udacity_gym.driving import drive
from udacity_gym.telemetry import Image


class RoadFollower:
    """Steers to the middle of what has the colour of the road right ahead of the bonnet."""

    actions = ("steering",)
    target_speed = 8.0
    """m/s; a controller keeps it."""

    def predict(
        self, observation: Image, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[np.float32], Any]:
        """Steer by one image, (160, 320, 3) uint8 RGB."""
        boxes = observation[68:132].astype(np.float32).reshape(16, 4, 80, 4, 3).mean(axis=(1, 3))
        ground = np.median(boxes[10:14, 34:46].reshape(-1, 3), axis=0)
        is_road = np.abs(boxes - ground).max(axis=-1) < 45
        middles, column = [], 40
        for row in is_road[9:1:-1]:  # from the bonnet upwards, along the road
            if not row[column]:
                break
            left = column - int(np.argmin(row[: column + 1][::-1])) if not row[: column + 1].all() else 0
            right = column + int(np.argmin(row[column:])) if not row[column:].all() else 79
            column = (left + right) // 2
            middles.append((left + right) / 2 - 39.5)
        steering = 1.4 * float(np.mean(middles[-5:])) / 39.5 if middles else 0.0
        return np.clip([steering], -1.0, 1.0).astype(np.float32), state


def main(arguments: Sequence[str] | None = None) -> None:
    """Wait for the simulator, drive, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policy", nargs="?", help="a checkpoint folder, an ONNX file or a Keras file")
    parser.add_argument("--simulator", default="remote", help="a Unity build; by default, wait for one")
    parser.add_argument("--port", type=int, default=4567, help="where the simulator connects")
    parser.add_argument("--seconds", type=float, default=60.0, help="to drive")
    parser.add_argument("--metres", type=float, default=100.0, help="that the car must have driven")
    options = parser.parse_args(arguments)

    env = gymnasium.make(
        udacity_gym.ENV_ID,
        simulator=options.simulator,
        port=options.port,
        # Where the simulator has no reset, the car is braked. There is time to start the simulator.
        simulator_options={"on_reset": "brake", "connect_timeout": 600.0},
    )
    driver = options.policy or RoadFollower()
    metres = 0.0
    print(f"Waiting for the simulator at port {options.port}.")
    with env:
        for step in drive(env, driver, seconds=options.seconds):
            metres = step.distance
    print(f"{metres:.0f} m in {step.time:.0f} s")
    assert metres > options.metres, "the car has not come far"


if __name__ == "__main__":
    main()
