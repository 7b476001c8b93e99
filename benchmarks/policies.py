"""ACT and a Gaussian mixture beside PilotNet, judged by driving on both tracks.

An expert drives a lap at a constant speed, with noise on its steering whose corrections it records (the noise
is executed, its own steering is the label). Each policy learns the same lap: PilotNet with the Huber loss;
PilotNet with a Gaussian mixture (`GaussianMixture`, the head of robomimic); ACT, a transformer that predicts
chunks of actions and drives by temporal ensembling, also with three times the training; PilotNet with chunks,
to tell the network from the chunks. Then it drives a lap from the start; a controller keeps the speed. Every
run is kept in the output folder, so that the same command goes on after an interruption, and more seeds add
to those that are there.

Run it with: python benchmarks/policies.py --output policies [--tracks lake] [--methods act] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from proofs import add_output_option

from algorithms import BehavioralCloning
from algorithms.policies.device import find_device, quickest_precision
from udacity_gym import ENV_ID
from udacity_gym.evaluation import evaluate
from udacity_gym.evaluation.statistics import mean_estimate
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.files import write_whole
from udacity_gym.recording import Recording, open_recording, record
from udacity_gym.telemetry import CAMERAS

SPEED = {"lake": 12.0, "jungle": 9.0}
"""m/s of the expert on each track."""
CHUNK = 8
"""Actions of a chunk, half a second."""
STEPS = 18
"""Batches of an epoch, so that all policies see as many images on both tracks: 13,824 in 12 epochs."""
METHODS: dict[str, dict[str, Any]] = {
    "PilotNet": {},
    "PilotNet, gmm": {"loss": "gmm"},
    "PilotNet, chunks": {"loss": "mae", "chunk_size": CHUNK},
    "ACT": {"network": "ACT", "loss": "mae", "chunk_size": CHUNK},
    "ACT, long": {"network": "ACT", "loss": "mae", "chunk_size": CHUNK, "epochs": 36},
}


def demonstrations(track: str, folder: Path) -> Recording:
    """A lap of the expert with noise, recorded once."""
    if not (folder / "done").exists():
        env = gymnasium.make(ENV_ID, track=track, cameras=CAMERAS, mode="training")
        expert = NoisyExpert(PurePursuit(track, speed=SPEED[track]), Noise.of(0.1, correlation=0.6))
        record(env, expert, folder / "lap", laps=1, seed=0)
        env.close()
        (folder / "done").touch()
    return open_recording(folder / "lap")


def run(track: str, method: str, seed: int, epochs: int, output: Path) -> dict[str, Any]:
    """Train and drive, or read what came of it before."""
    path = output / "runs" / f"{track}-{method.replace(', ', '-')}-{epochs}-{seed}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept
    recording = demonstrations(track, output / track)
    begin = time.perf_counter()
    settings = {"epochs": epochs, "steps_per_epoch": STEPS, **METHODS[method]}
    learner = BehavioralCloning(
        recording,
        seed=seed,
        throttle="speed_control",
        precision=quickest_precision(find_device()),
        progress=False,
        **settings,
    )
    policy = learner.learn()
    seconds = time.perf_counter() - begin
    env = gymnasium.make(ENV_ID, track=track)
    drive = evaluate(policy, env, laps=1, seed=seed)
    env.close()
    steering = drive.trajectory.steering
    found = {
        "autonomy": drive.autonomy,
        "interventions": drive.interventions,
        "mean_cte": drive.mean_abs_cte,
        "jerk": float(np.abs(np.diff(steering)).mean()),
        "steering_mae": min(epoch.steering_mae or 1.0 for epoch in learner.epoch_log),
        "seconds": seconds,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(found, indent=1) + "\n")
    print(f"{track}, {method}, seed {seed}: {found}", flush=True)
    return found


def main() -> None:
    """Run what is missing, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output_option(parser)
    parser.add_argument("--tracks", nargs="+", default=list(SPEED), choices=SPEED)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    columns = ("track", "policy", "autonomy, %", "interventions", "mean abs. cte, m")
    columns += ("change of steering per step", "held-out error", "training, s")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for track in options.tracks:
        for method in options.methods:
            runs = [run(track, method, seed, options.epochs, options.output) for seed in options.seeds]
            means = {name: mean_estimate([found[name] for found in runs], lowest=0.0) for name in runs[0]}
            autonomy = mean_estimate([found["autonomy"] for found in runs], 0.0, 1.0)
            cells = [track, method, autonomy.text(1, 100), means["interventions"].text(1)]
            cells += [means["mean_cte"].text(2), means["jerk"].text(3), means["steering_mae"].text(3)]
            lines.append(f"| {' | '.join(cells)} | {means['seconds'].value:.0f} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
