"""Behavioural cloning, then reinforcement learning: the pupil drives faster than its teacher.

An expert that drives the lake slowly is recorded for a lap; PilotNet is cloned from that; PPO (Schulman et
al. 2017) goes on from the clone, on pictures alone, rewarded for metres along the track and punished for
wheels over the edge line. After every few thousand steps the policy drives a lap as it would for good,
without noise, and the fastest one that never touches the line is kept. In the end expert, clone and the kept
policy drive three laps each. Lap times are those of the laps after the standing start.

Run it with: python benchmarks/bc_to_rl.py [--seeds 5] [--steps 32768]
It takes about four minutes for each seed on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3 import PPO

import udacity_gym  # noqa: F401  (registers the environment)
from algorithms import BehavioralCloning, NetworkPolicy
from algorithms.adapters.stable_baselines3 import CriticFirst, policy_of, start_from
from udacity_gym.evaluation import Evaluation, evaluate, mean_estimate
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import record
from udacity_gym.telemetry import CAMERAS

REWARDS = {"progress": 1.0, "off_lane": -3.0, "off_road": -50.0}
STARTS = {"s": "random", "offset": (-1.0, 1.0), "heading_error": (-0.1, 0.1), "speed": (4.0, 12.0)}


@dataclass(frozen=True)
class Args:
    """The proof's settings.

    Attributes:
        expert_speed: m/s that the expert keeps.
        epochs: of behavioural cloning.
        steps: of the environment for PPO, 15 for each second of driving.
        every: steps after which the policy is judged by a lap.
        critic_steps: steps in which only the critic learns.
        laps: that everybody drives in the end.
        seconds: s after which every judged drive ends, to try it out; None drives whole laps.
    """

    expert_speed: float = 7.0
    epochs: int = 6
    steps: int = 32_768
    every: int = 8_192
    critic_steps: int = 2_048
    laps: int = 3
    seconds: float | None = None


class AnyStart(gym.Wrapper[Any, Any, Any, Any]):
    """Starts every episode somewhere else on the lap, a little askew, at some speed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        return self.env.reset(seed=seed, options=options or STARTS)


def clone(folder: Path, seed: int, args: Args) -> NetworkPolicy:
    """Record the expert for a lap and clone it."""
    expert = PurePursuit("lake", speed=args.expert_speed)
    env = gym.make("UdacitySim-v0", cameras=CAMERAS, mode="training", disable_env_checker=True)
    recording = record(env, expert, folder / "expert", laps=1, seed=seed)
    env.close()
    return BehavioralCloning([recording], epochs=args.epochs, seed=seed, progress=False).learn()


def improve(policy: NetworkPolicy, seed: int, args: Args, log: Any = print) -> NetworkPolicy:
    """Go on with PPO, and keep the fastest policy that stays between the lines for a lap."""
    env = gym.make("UdacitySim-v0", max_seconds=30.0, rewards=REWARDS, disable_env_checker=True)
    model = start_from(
        policy,
        PPO,
        AnyStart(env),
        seed=seed,
        n_steps=1024,
        batch_size=128,
        n_epochs=10,
        learning_rate=3e-4,
        gamma=0.98,
        target_kl=0.05,
        log_std=(-2.5, -1.5),
    )
    best, best_speed, begin = policy, judge(policy, 1, args.seconds).mean_speed, time.perf_counter()
    while model.num_timesteps < args.steps:
        first = model.num_timesteps == 0
        steps = min(args.every, args.steps - model.num_timesteps)
        model.learn(steps, callback=CriticFirst(args.critic_steps), reset_num_timesteps=first)
        now = policy_of(model, policy)
        lap = judge(now, 1, args.seconds)
        took = time.perf_counter() - begin
        log(
            f"  {model.num_timesteps:>6} steps, {took:>4.0f} s: {lap.mean_speed:.1f} m/s, "
            f"{lap.edge_departures} times over the line",
            flush=True,
        )
        clean = lap.interventions == 0 and lap.edge_departures == 0
        if clean and lap.mean_speed > best_speed:
            best, best_speed = now, lap.mean_speed
    env.close()
    return best


def judge(driver: Any, laps: int, seconds: float | None = None) -> Evaluation:
    """Let somebody drive on the lake."""
    env = gym.make("UdacitySim-v0", disable_env_checker=True)
    try:
        return evaluate(driver, env, laps, max_seconds=seconds)
    finally:
        env.close()


def prove(seed: int, args: Args) -> Mapping[str, Evaluation]:
    """Expert, clone and improved policy of one seed, judged."""
    torch.set_num_threads(1)  # one picture at a time is too little work for two
    with tempfile.TemporaryDirectory() as folder:
        cloned = clone(Path(folder), seed, args)
    improved = improve(cloned, seed, args)
    drivers = {
        "expert": PurePursuit("lake", speed=args.expert_speed),
        "clone": cloned,
        "clone, then PPO": improved,
    }
    return {name: judge(driver, args.laps, args.seconds) for name, driver in drivers.items()}


def lap_time(evaluation: Evaluation) -> float:
    """Mean lap time in s, without the lap of the standing start if there are others."""
    times = evaluation.lap_times
    return statistics.mean(times[1:] or times)


def interval(values: list[float]) -> str:
    """Mean and 95 % interval."""
    found = mean_estimate(values)
    half = (found.high - found.low) / 2
    return f"{found.value:.1f}" + (f" ± {half:.1f}" if found.n > 1 else "")


def main() -> None:
    """Prove it for several seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=Args.steps)
    given = parser.parse_args()
    found: dict[str, list[Evaluation]] = {}
    for seed in range(given.seeds):
        print(f"seed {seed}", flush=True)
        for name, evaluation in prove(seed, Args(steps=given.steps)).items():
            found.setdefault(name, []).append(evaluation)
            print(f"  {name:<16}{lap_time(evaluation):>7.1f} s", flush=True)
    print(f"\n{'':<16} lap time, s    interventions  over the line  mean |cte|, m  max |cte|, m")
    for name, those in found.items():
        interventions, over = (
            sum(getattr(e, n) for e in those) for n in ("interventions", "edge_departures")
        )
        mean, most = statistics.mean(e.mean_abs_cte for e in those), max(e.max_abs_cte for e in those)
        times = interval([lap_time(e) for e in those])
        print(f"{name:<16} {times:<14} {interventions:>13}  {over:>13}  {mean:>13.2f}  {most:>13.2f}")


if __name__ == "__main__":
    main()
