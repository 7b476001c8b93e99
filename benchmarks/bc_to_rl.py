"""Behavioural cloning, then reinforcement learning: a policy that drives faster than its expert.

An expert that drives the lake slowly is recorded for a lap; PilotNet is cloned from that; PPO (Schulman et
al. 2017) improves the clone, on images alone, rewarded for metres along the track and punished for
wheels over the edge line. After every few thousand steps the policy drives a lap without noise, and the
fastest one that never touches the line is kept. At the end expert, clone and the kept
policy drive three laps each. Lap times exclude the lap with the standing start.

Run it with: python benchmarks/bc_to_rl.py --output FOLDER [--seeds 5] [--steps 32768] [--workers 2]
It takes about two minutes for each seed, and resumes after an interruption.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from proofs import add_executor_options, add_output_option, go_on_with, markdown, side_by_side
from stable_baselines3 import PPO

from algorithms import BehavioralCloning, NetworkPolicy
from algorithms.adapters.stable_baselines3 import CriticFirst, policy_of, start_from
from udacity_gym import ENV_ID
from udacity_gym.cli.shared import executor_of
from udacity_gym.evaluation import Evaluation, evaluate, mean_estimate
from udacity_gym.experts import PurePursuit
from udacity_gym.files import write_whole
from udacity_gym.recording import record
from udacity_gym.telemetry import CAMERAS

REWARDS = {"progress": 1.0, "off_lane": -3.0, "off_road": -50.0}
STARTS = {"s": "random", "offset": (-1.0, 1.0), "heading_error": (-0.1, 0.1), "speed": (4.0, 12.0)}


@dataclass(frozen=True)
class Args:
    """The proof's settings.

    Attributes:
        expert_speed: m/s that the expert keeps.
        epochs: epochs of behavioural cloning.
        steps: steps of the environment for PPO, 15 for each second of driving.
        every: steps between two evaluations of the policy, of a lap each.
        critic_steps: steps in which only the critic learns.
        laps: laps of each driver at the end.
        seconds: s after which the recording and every evaluation end, for tests; None drives whole laps.
    """

    expert_speed: float = 7.0
    epochs: int = 6
    steps: int = 32_768
    every: int = 8_192
    critic_steps: int = 2_048
    laps: int = 3
    seconds: float | None = None


class AnyStart(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that starts every episode at a random position, heading and speed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        return self.env.reset(seed=seed, options=options or STARTS)


def clone(folder: Path, seed: int, args: Args) -> NetworkPolicy:
    """Record the expert for a lap, or for ``args.seconds``, and clone it."""
    expert = PurePursuit("lake", speed=args.expert_speed)
    env = gym.make(ENV_ID, cameras=CAMERAS, mode="training", disable_env_checker=True)
    recording = record(env, expert, folder / "expert", laps=1, seconds=args.seconds, seed=seed)
    env.close()
    return BehavioralCloning([recording], epochs=args.epochs, seed=seed, progress=False).learn()


def improve(
    policy: NetworkPolicy, seed: int, args: Args, log: Callable[[str], object] = print
) -> NetworkPolicy:
    """Improve a policy with PPO; returns the fastest one that stays between the lines for a lap."""
    env = gym.make(ENV_ID, max_seconds=30.0, rewards=REWARDS, disable_env_checker=True)
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
        elapsed = time.perf_counter() - begin
        log(
            f"{model.num_timesteps:>6} steps, {elapsed:>4.0f} s: {lap.mean_speed:.1f} m/s, "
            f"{lap.edge_departures} times over the line"
        )
        clean = lap.interventions == 0 and lap.edge_departures == 0
        if clean and lap.mean_speed > best_speed:
            best, best_speed = now, lap.mean_speed
    env.close()
    return best


def judge(driver: Any, laps: int, seconds: float | None = None) -> Evaluation:
    """Evaluate a driver on the lake track."""
    env = gym.make(ENV_ID, disable_env_checker=True)
    try:
        return evaluate(driver, env, laps, max_seconds=seconds)
    finally:
        env.close()


def prove(seed: int, args: Args) -> Mapping[str, Evaluation]:
    """Evaluate expert, clone and improved policy of a seed."""
    torch.set_num_threads(1)  # one image at a time is too little work for two
    with tempfile.TemporaryDirectory() as folder:
        cloned = clone(Path(folder), seed, args)
    improved = improve(cloned, seed, args, lambda line: print(f"seed {seed}: {line}", flush=True))
    drivers = {
        "expert": PurePursuit("lake", speed=args.expert_speed),
        "clone": cloned,
        "clone, then PPO": improved,
    }
    return {name: judge(driver, args.laps, args.seconds) for name, driver in drivers.items()}


def work(folder: Path, args: Args, seed: int) -> dict[str, dict[str, float]]:
    """Results of a seed by driver; read from the folder if they are there."""
    result = folder / f"seed-{seed}.json"
    if not result.exists():
        results = {
            name: {
                "lap_time": lap_time(drive),
                "interventions": drive.interventions,
                "edge_departures": drive.edge_departures,
                "mean_abs_cte": drive.mean_abs_cte,
                "max_abs_cte": drive.max_abs_cte,
            }
            for name, drive in prove(seed, args).items()
        }
        write_whole(result, json.dumps(results, indent=1))
    saved: dict[str, dict[str, float]] = json.loads(result.read_text())
    return saved


def lap_time(evaluation: Evaluation) -> float:
    """Mean lap time in s, without the lap of the standing start if there are others."""
    times = evaluation.lap_times
    return statistics.mean(times[1:] or times)


def table(results: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """Figures of all seeds in Markdown, mean and 95 % interval."""
    titles = ("lap time, s", "interventions", "over the line", "mean \\|cte\\|, m", "max \\|cte\\|, m")
    rows = []
    for name in results[0]:
        seeds = [drivers[name] for drivers in results]
        cells = [mean_estimate([one["lap_time"] for one in seeds]).text(1)]
        cells += [f"{sum(one[what] for one in seeds):.0f}" for what in ("interventions", "edge_departures")]
        cells += [
            mean_estimate([one[what] for one in seeds], 0).text(2) for what in ("mean_abs_cte", "max_abs_cte")
        ]
        rows.append([name, *cells])
    return markdown(["", *titles], rows)


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_output_option(parser)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=Args.steps)
    add_executor_options(parser)
    options = parser.parse_args()
    args = Args(steps=options.steps)
    go_on_with(options.output, asdict(args))
    job = partial(work, options.output, args)
    done = dict(side_by_side(job, range(options.seeds), executor_of(options)))
    print(f"\n{table([done[seed] for seed in sorted(done)])}")


if __name__ == "__main__":
    main()
