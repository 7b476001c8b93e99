"""Behavioural cloning, from a driving log to a driving policy.

python examples/behavioral_cloning_from_log.py path/to/recording
    learns from your recording, compares its steering with yours on held-out rows, and lets the policy
    drive the embedded lake track;

python examples/behavioral_cloning_from_log.py --expert --seeds 0 1 2
    learns from demonstrations of the built-in expert, once for each seed, and checks that each
    policy drives three laps without intervention.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
from numpy.typing import NDArray

import udacity_gym  # noqa: F401  (registers UdacitySim-v0)
from algorithms import Augmentation, BehavioralCloning, Policy
from udacity_gym.evaluation import Evaluation, evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import open_recording, record
from udacity_gym.telemetry import CAMERAS, MPH


def main() -> None:
    """Read the command line and run the trainings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, nargs="?", help="folder with a driving_log.csv")
    parser.add_argument("--expert", action="store_true", help="learn from the built-in expert instead")
    parser.add_argument("--epochs", type=int, help="passes over the rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training for each")
    parser.add_argument("--output", type=Path, help="folder to keep recording, trainings and policies in")
    options = parser.parse_args()
    if (options.recording is None) != options.expert:
        parser.error("give either a recording or --expert")

    with tempfile.TemporaryDirectory() as scratch:
        folder = options.output or Path(scratch)
        for seed in options.seeds:
            if options.expert:
                clone_expert(folder, seed, options.epochs or 12)
            else:
                clone_human(options.recording, folder, seed, options.epochs or 30)


def clone_human(path: Path, folder: Path, seed: int, epochs: int) -> None:
    """Learn from a recording, check the steering on unseen rows, then drive."""
    recording = open_recording(path)
    print(recording.report)
    learner = BehavioralCloning(
        recording,
        seed=seed,
        epochs=epochs,
        throttle="speed_control",  # learn to steer only,
        target_speed=15 * MPH,  # and drive with a controller that keeps this speed
        loss="mse",  # keys pressed in bends count most
        smoothing=1.0,  # keys are pressed and released: learn the mean over a second
        recovery_time=0.8,  # humans come back to the middle slowly,
        augmentation=Augmentation(shift=0.3, turn=0.1),  # and hardly ever point away from the road
        balance=0.25,
        folder=folder / f"person-seed{seed}",
    )
    policy = learner.learn()

    beats_baselines = compare_steering(learner, policy)
    evaluation = drive(policy, laps=1)
    print(evaluation)
    first = evaluation.distance_to_first_intervention
    distance = f"{evaluation.distance:.0f} m, no intervention" if first is None else f"{first:.0f} m"
    print(f"From the start to the first intervention: {distance}; autonomy {evaluation.autonomy:.1%}")
    assert beats_baselines, "the policy must steer more like the driver than the two constant baselines"


def compare_steering(learner: BehavioralCloning, policy: Policy) -> bool:
    """Print steering errors on held-out rows; returns whether the policy beats the constant baselines."""
    frames = learner.validation_frames
    steering = np.array([policy.predict(frames.image(row, "center"))[0][0] for row in range(len(frames))])
    mean = float(learner.train_frames.steering.mean())
    guesses = {"policy": steering, "always zero": 0 * steering, "always the mean": 0 * steering + mean}
    smoothed = error_table(
        f"steering as learned, the mean over {learner.config.smoothing} s", guesses, frames.steering
    )
    recorded = error_table("steering row by row, as the keys were pressed", guesses, frames.recorded_steering)
    straight = float((frames.recorded_steering == 0).mean())
    print(f"({straight:.0%} of the rows are exactly 0. Where that is more than half, 'always zero' is their")
    print("median and hard to beat in MAE row by row; RMSE and correlation say more.)\n")
    policy_errors, *others = smoothed
    better = all(policy_errors[0] < 0.9 * other[0] and policy_errors[1] < 0.95 * other[1] for other in others)
    better_by_row = all(recorded[0][1] < 0.95 * other[1] for other in recorded[1:])
    return better and better_by_row and policy_errors[2] > 0.5


def error_table(
    title: str, guesses: dict[str, NDArray[np.float32]], truth: NDArray[np.float32]
) -> list[tuple[float, float, float]]:
    """Print the errors of each guess, and return them in the same order."""
    print(f"\nThe last {len(truth)} rows, never trained on: {title}")
    print(f"{'':<18}{'MAE':>8}{'RMSE':>8}{'correlation':>13}")
    table = []
    for name, guess in guesses.items():
        table.append(errors(guess, truth))
        mae, rmse, correlation = table[-1]
        print(f"{name:<18}{mae:>8.4f}{rmse:>8.4f}{correlation:>13.2f}")
    return table


def errors(guess: NDArray[np.float32], truth: NDArray[np.float32]) -> tuple[float, float, float]:
    """Mean absolute error, root mean square error, and correlation (0 for a guess that never changes)."""
    difference = guess - truth
    correlation = np.corrcoef(guess, truth)[0, 1] if np.ptp(guess) > 0 else 0.0
    return float(np.abs(difference).mean()), float(np.sqrt((difference**2).mean())), float(correlation)


def clone_expert(folder: Path, seed: int, epochs: int) -> None:
    """Learn from two laps of the built-in expert, and check that the policy drives three laps by itself."""
    laps = folder / "expert-laps"
    if not laps.exists():
        folder.mkdir(parents=True, exist_ok=True)
        env = gymnasium.make("UdacitySim-v0", cameras=CAMERAS, mode="training")
        # An unfinished recording of an interrupted run must not be used as two laps.
        with tempfile.TemporaryDirectory(prefix="recording-", dir=folder) as unfinished:
            record(
                env, PurePursuit(speed=27.5 * MPH), Path(unfinished, "laps"), laps=2, seed=0, progress=True
            )
            Path(unfinished, "laps").rename(laps)
        env.close()
    begin = time.monotonic()
    learner = BehavioralCloning(laps, seed=seed, epochs=epochs, folder=folder / f"expert-seed{seed}")
    policy = learner.learn()
    print(f"seed {seed}: trained on {len(learner.train_frames)} rows in {time.monotonic() - begin:.0f} s")

    evaluation = drive(policy, laps=3)
    print(evaluation)
    assert evaluation.laps_without_intervention >= 3, "the policy must drive three laps without intervention"
    assert evaluation.mean_speed >= 25 * MPH, "the policy must drive at 25 mph or more"


def drive(policy: Policy, laps: int) -> Evaluation:
    """Evaluate a policy on the lake track from the start, with the centre camera."""
    env = gymnasium.make("UdacitySim-v0")
    try:
        return evaluate(policy, env, laps=laps, progress=True)
    finally:
        env.close()


if __name__ == "__main__":
    main()
