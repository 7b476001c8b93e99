"""Behavioural cloning, then reinforcement learning: a policy that becomes faster than its expert.

An expert drives a lap of the lake slowly, at 7 m/s. A PilotNet is cloned from it. PPO of Stable-Baselines3
(Schulman et al. 2017) then goes on with the clone: it drives, is rewarded for metres, and punished when a
wheel crosses the edge line. The program checks that the result drives faster than the expert, and stays
between the lines. It takes two minutes.

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
REWARDS = {"progress": 1.0, "off_lane": -6.0, "off_road": -50.0}
START = {"s": "random", "offset": (-1.0, 1.0), "heading_error": (-0.1, 0.1), "speed": (4.0, 12.0)}
"""Every episode begins somewhere else on the lap."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Clone, improve, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=6, help="of cloning")
    parser.add_argument(
        "--steps", type=int, default=12_288, help="of reinforcement learning; 15 are a second"
    )
    parser.add_argument("--seconds", type=float, help="stop each evaluation after this many seconds")
    parser.add_argument("--output", type=Path, help="folder to save the improved policy in")
    options = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory() as scratch:
        policy = clone(Path(scratch), options.epochs)
    drives = {"expert": judge(PurePursuit(speed=EXPERT_SPEED), options.seconds)}
    drives["clone"] = judge(policy, options.seconds)
    improved = improve(policy, options.steps)
    drives["clone, then PPO"] = judge(improved, options.seconds)
    for name, drive in drives.items():
        over = f"{drive.interventions} interventions, {drive.edge_departures} times over the line"
        print(f"{name:<16} {drive.mean_speed:5.1f} m/s, {over}")
    if options.output is not None:
        print(f"The policy is {improved.save(options.output)}")
    assert all(drive.interventions == drive.edge_departures == 0 for drive in drives.values()), (
        "all must stay between the lines"
    )
    slow = max(drives[name].mean_speed for name in ("expert", "clone"))
    assert drives["clone, then PPO"].mean_speed > 1.1 * slow, "the policy must become faster than its expert"


def clone(folder: Path, epochs: int) -> NetworkPolicy:
    """Record the expert for a lap, and clone it: steering and throttle."""
    with gymnasium.make(udacity_gym.ENV_ID, cameras=CAMERAS, mode="training") as env:
        recording = record(env, PurePursuit(speed=EXPERT_SPEED), folder / "laps", laps=1, seed=0)
    return BehavioralCloning(recording, epochs=epochs, throttle="learned", seed=0).learn()


def improve(policy: NetworkPolicy, steps: int) -> NetworkPolicy:
    """Improve a policy with PPO: the actor starts as a copy of it, the critic is new and learns first."""
    env = gymnasium.make(udacity_gym.ENV_ID, max_seconds=30.0, rewards=REWARDS, start=START)
    model = start_from(
        policy,
        PPO,
        env,
        seed=0,
        n_steps=1024,
        batch_size=128,
        n_epochs=10,
        learning_rate=3e-4,
        gamma=0.98,
        target_kl=0.05,
        log_std=(-2.5, -1.5),  # noise of steering and throttle while it explores
    )
    model.learn(steps, callback=CriticFirst(2048))
    env.close()
    return policy_of(model, policy)


def judge(driver: Any, seconds: float | None) -> Evaluation:
    """Let a driver drive a lap of the lake."""
    env = gymnasium.make(udacity_gym.ENV_ID)
    try:
        return evaluate(driver, env, laps=1, max_seconds=seconds)
    finally:
        env.close()


if __name__ == "__main__":
    main()
