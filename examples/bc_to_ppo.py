"""Behavioural cloning, then reinforcement learning: a policy that becomes faster than its expert.

An expert drives a lap of the lake slowly, at 7 m/s. A PilotNet is cloned from it. PPO of Stable-Baselines3
(Schulman et al. 2017) then goes on with the clone: it drives, is rewarded for metres, and punished when a
wheel crosses the edge line. Not every update makes a policy better, so it drives a lap without noise after
each, and training ends with the first policy that is a fifth faster than the expert and stays between the
lines. The program checks that there is one. It takes two minutes.

    pip install "udacity-gym[rl]"
    python examples/bc_to_ppo.py

`benchmarks/bc_to_rl.py` is the whole experiment, with seeds and intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
from stable_baselines3 import PPO

import udacity_gym
from algorithms import BehavioralCloning, NetworkPolicy
from algorithms.adapters.stable_baselines3 import CriticFirst, policy_of, start_from
from udacity_gym.evaluation import Evaluation, evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import record
from udacity_gym.telemetry import CAMERAS

EXPERT_SPEED = 7.0
"""m/s."""
FASTER = 1.2
"""Times the expert's mean speed at which PPO has reached its aim."""
STEPS = 2048
"""Steps of an update, after each of which the policy drives a lap. The critic learns alone in the first."""
REWARDS = {"progress": 1.0, "off_lane": -3.0, "off_road": -50.0}
START = {"s": "random", "offset": (-1.0, 1.0), "heading_error": (-0.1, 0.1), "speed": (4.0, 12.0)}
"""Every episode begins somewhere else on the lap."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Clone, improve, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=6, help="of cloning")
    parser.add_argument(
        "--steps", type=int, default=24_576, help="of reinforcement learning at most; 15 are a second"
    )
    parser.add_argument("--seconds", type=float, help="stop each evaluation after this many seconds")
    parser.add_argument("--output", type=Path, help="folder to save the improved policy in")
    options = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory() as scratch:
        policy = clone(Path(scratch), options.epochs)
    drives = {"expert": judge(PurePursuit(speed=EXPERT_SPEED), options.seconds)}
    drives["clone"] = judge(policy, options.seconds)
    aim = FASTER * drives["expert"].mean_speed
    improved, drives["clone, then PPO"] = improve(policy, aim, options.steps, options.seconds)
    for name, drive in drives.items():
        over = f"{drive.interventions} interventions, {drive.edge_departures} times over the line"
        print(f"{name:<16} {drive.mean_speed:5.1f} m/s, {over}")
    if options.output is not None:
        print(f"The policy is {improved.save(options.output)}")
    assert drives["clone, then PPO"].mean_speed >= aim, "the policy must become faster than its expert"
    assert all(stays_between_lines(drive) for drive in drives.values()), "all must stay between the lines"


def clone(folder: Path, epochs: int) -> NetworkPolicy:
    """Record the expert for a lap, and clone it: steering and throttle."""
    with gymnasium.make(udacity_gym.ENV_ID, cameras=CAMERAS, mode="training") as env:
        recording = record(env, PurePursuit(speed=EXPERT_SPEED), folder / "laps", laps=1, seed=0)
    return BehavioralCloning(recording, epochs=epochs, throttle="learned", seed=0).learn()


def improve(
    policy: NetworkPolicy, aim: float, steps: int, seconds: float | None
) -> tuple[NetworkPolicy, Evaluation]:
    """Improve a policy with PPO until it laps at the aim, m/s, or for a number of steps.

    The actor starts as a copy of the policy, the critic is new and learns first.
    """
    env = gymnasium.make(udacity_gym.ENV_ID, max_seconds=30.0, rewards=REWARDS, start=START)
    model = start_from(
        policy,
        PPO,
        env,
        seed=0,
        n_steps=STEPS,
        batch_size=256,
        n_epochs=10,
        learning_rate=1e-4,
        gamma=0.98,
        target_kl=0.05,
        log_std=(-2.5, -1.5),  # noise of steering and throttle while it explores
    )
    while True:
        begins = model.num_timesteps == 0
        model.learn(STEPS, callback=CriticFirst(STEPS), reset_num_timesteps=begins)
        improved = policy_of(model, policy)
        drive = judge(improved, seconds)
        print(
            f"{model.num_timesteps:>6} steps: {drive.mean_speed:.1f} m/s, "
            f"{drive.edge_departures} times over the line",
            flush=True,
        )
        good = drive.mean_speed >= aim and stays_between_lines(drive)
        if good or model.num_timesteps >= steps:
            env.close()
            return improved, drive


def stays_between_lines(drive: Evaluation) -> bool:
    """Whether no wheel was over an edge line, and nobody had to help."""
    return drive.interventions == drive.edge_departures == 0


def judge(driver: Any, seconds: float | None) -> Evaluation:
    """Let a driver drive a lap of the lake."""
    env = gymnasium.make(udacity_gym.ENV_ID)
    try:
        return evaluate(driver, env, laps=1, max_seconds=seconds)
    finally:
        env.close()


if __name__ == "__main__":
    main()
