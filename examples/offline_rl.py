"""Offline reinforcement learning on a recording, with d3rlpy: TD3+BC (Fujimoto & Gu 2021).

A recorded drive has images, actions, rewards, and how each episode ended. That is all that an offline method
needs. This example records an expert whose steering is so noisy that it leaves the road again and again. It
trains TD3+BC on the recording, without driving any further, and then asks the critic: an action shortly
before leaving the road must be worth less than others. It takes a minute.

    pip install "udacity-gym[d3rlpy]"     # in an environment of its own: d3rlpy wants gymnasium 1.0.0
    python examples/offline_rl.py
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import udacity_gym
from udacity_gym.driving import drive
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.recording import Downscale, Recorder, Recording, open_recording
from udacity_gym.recording.convert.imitation import trajectories

SMALL = Downscale((40, 100))
"""What the networks see: the road, at 40x100 pixels."""
BEFORE_A_FALL = 1.0
"""s before leaving the road in which the critic should see it coming."""
LONG_BEFORE = 3.0
"""s before leaving the road, or more, in which nothing is wrong yet."""


def record_noisy_drive(folder: Path, seconds: float, seed: int) -> Recording:
    """Record an expert that often leaves the road; each fall is the end of an episode."""
    expert = NoisyExpert(PurePursuit(speed=11.0), Noise.of(steering=0.6, correlation=0.8))
    with (
        gymnasium.make(udacity_gym.ENV_ID, start={"s": "random", "speed": (6, 11)}) as env,
        Recorder(folder, cameras=("center",)) as recorder,
    ):
        for step in drive(env, expert, seconds=seconds, seed=seed, driver_seed=seed, on_fall="restart"):
            recorder.add(step)
    return open_recording(folder)


def to_dataset(recording: Recording) -> Any:
    """The recording as d3rlpy's data set, images channels first."""
    from d3rlpy.dataset import MDPDataset

    episodes = list(trajectories(recording, prepare=SMALL))
    lengths = [len(episode) for episode in episodes]
    last = np.concatenate([np.arange(n) == n - 1 for n in lengths])
    terminal = np.repeat([episode.terminal for episode in episodes], lengths)
    return MDPDataset(
        observations=np.concatenate([np.moveaxis(episode.obs[:-1], 3, 1) for episode in episodes]),
        actions=np.concatenate([episode.acts for episode in episodes]),
        rewards=np.concatenate([episode.rews for episode in episodes]).astype(np.float32),
        terminals=(last & terminal).astype(np.float32),
        timeouts=(last & ~terminal).astype(np.float32),
    )


def train(dataset: Any, steps: int, seed: int) -> Any:
    """Train TD3+BC; nothing is driven."""
    import d3rlpy

    d3rlpy.seed(seed)
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=32,
        gamma=0.95,
        actor_learning_rate=3e-4,
        critic_learning_rate=3e-4,
        observation_scaler=d3rlpy.preprocessing.PixelObservationScaler(),
        reward_scaler=d3rlpy.preprocessing.MultiplyRewardScaler(0.1),
    )
    algorithm = config.create(device=False)
    algorithm.fit(
        dataset,
        n_steps=steps,
        n_steps_per_epoch=steps,
        show_progress=False,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    return algorithm


def compare_values(algorithm: Any, recording: Recording) -> tuple[float, float]:
    """Mean value of the recorded actions shortly before a fall, and long before one."""
    before, long_before = [], []
    for trajectory, episode in zip(trajectories(recording, prepare=SMALL), recording.episodes, strict=True):
        if not trajectory.terminal:
            continue
        values = algorithm.predict_value(np.moveaxis(trajectory.obs[:-1], 3, 1), trajectory.acts)
        remaining = episode.time[-1] - episode.time
        before += values[remaining < BEFORE_A_FALL].tolist()
        long_before += values[remaining > LONG_BEFORE].tolist()
    return float(np.mean(before)), float(np.mean(long_before))


def main() -> None:
    """Record, train, compare."""
    parser = argparse.ArgumentParser(description="Offline reinforcement learning on a recording.")
    parser.add_argument("--output", type=Path, default=Path("offline-rl"), help="new folder of the recording")
    parser.add_argument("--seconds", type=float, default=120.0, help="seconds to record")
    parser.add_argument("--steps", type=int, default=300, help="gradient steps")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    recording = record_noisy_drive(arguments.output, arguments.seconds, arguments.seed)
    outcomes = [episode.outcomes() for episode in recording.episodes]
    falls = sum(outcome is not None and bool(outcome.terminated[-1]) for outcome in outcomes)
    print(f"{len(recording)} steps in {len(recording.episodes)} episodes, {falls} of them end off the road")
    algorithm = train(to_dataset(recording), arguments.steps, arguments.seed)
    before, long_before = compare_values(algorithm, recording)
    print(
        f"value of an action: {before:.2f} within {BEFORE_A_FALL:.0f} s before leaving the road, "
        f"{long_before:.2f} more than {LONG_BEFORE:.0f} s before"
    )
    assert before < long_before, "the critic has not learned what leaving the road costs"


if __name__ == "__main__":
    main()
