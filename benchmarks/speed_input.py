"""How a policy that works the throttle drives off from standing, with and without being told its speed.

The built-in expert records three short drives from standing; behavioural cloning learns them with and
without ``inputs=("speed",)``, for several seeds. Each policy then drives from standing.

Run it with: python benchmarks/speed_input.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import gymnasium
import numpy as np

from algorithms import BehavioralCloning
from udacity_gym import ENV_ID
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import Recording, open_recording, record
from udacity_gym.telemetry import CAMERAS

SPEED = 9.0
"""m/s at which the expert drives."""
MOMENTS = (2.0, 4.0, 6.0)
"""s after the start."""


def demonstrations(folder: Path) -> Recording:
    """Three drives of the expert from standing, of 14, 18 and 22 s."""
    env = gymnasium.make(ENV_ID, cameras=CAMERAS, mode="training")
    for drive, seconds in enumerate((14, 18, 22)):
        record(env, PurePursuit(speed=SPEED), folder, seconds=seconds, append=drive > 0, seed=drive)
    env.close()
    return open_recording(folder)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    env = gymnasium.make(ENV_ID)
    print(f"{'inputs':<12}{'seed':>5}" + "".join(f"{f'm/s at {at:.0f} s':>12}" for at in MOMENTS), end="")
    print(f"{'mean after 8 s':>16}{'put back':>10}")
    with tempfile.TemporaryDirectory() as folder:
        recording = demonstrations(Path(folder, "drives"))
        for inputs in ((), ("speed",)):
            for seed in range(options.seeds):
                policy = BehavioralCloning(
                    recording, epochs=options.epochs, seed=seed, inputs=inputs, validation=0.0, progress=False
                ).learn()
                drive = evaluate(policy, env, laps=1, max_seconds=25.0)
                time, speed = drive.trajectory.time, drive.trajectory.speed
                row = "".join(f"{np.interp(at, time, speed):>12.1f}" for at in MOMENTS)
                mean = speed[time > 8.0].mean()
                name = ", ".join(inputs) or "image only"
                print(f"{name:<12}{seed:>5}{row}{mean:>16.1f}{drive.interventions:>10}", flush=True)
    env.close()


if __name__ == "__main__":
    main()
