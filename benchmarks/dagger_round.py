"""How long a round of DAgger takes: collect a lap, label it, train PilotNet again.

The policy drives the lake for as many frames as a lap at 12 m/s has, the expert labels them, the round is
written to disk as a recording, and PilotNet goes on training as `DAgger` does by default. Memory
is that of this process and its workers, from the operating system.

Run it with: python benchmarks/dagger_round.py [--rounds 5] [--workers 2]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import gymnasium
from proofs import markdown, markdown_row

from algorithms import DAgger
from algorithms.dagger.round_log import Round
from udacity_gym import ENV_ID
from udacity_gym.experts import PurePursuit

LAP = 1424
"""Frames of a lap of 1137.8 m at 12 m/s, 15 frames each second."""


def make_env() -> gymnasium.Env[object, object]:
    """The environment."""
    return gymnasium.make(ENV_ID)


def memory() -> float:
    """Resident memory of this process and its workers in MB; 0 if the operating system does not report it."""
    processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    status_files = [Path(f"/proc/{process}/status") for process in processes]
    texts = [status.read_text() for status in status_files if status.exists()]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("VmRSS")]
    return sum(int(line.split()[1]) for line in lines) / 1024


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=LAP)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    begin = time.perf_counter()
    print(markdown(["round", "seconds", "falls", "loss", "memory, MB"]))

    def report(round: Round) -> None:
        nonlocal begin
        now = time.perf_counter()
        cells = (round.round, f"{now - begin:.1f}", round.falls, f"{round.train_loss:.4f}", f"{memory():.0f}")
        print(markdown_row(cells), flush=True)
        begin = now

    with tempfile.TemporaryDirectory() as folder:
        DAgger(
            env=make_env,
            expert=PurePursuit(speed=12.0),
            folder=Path(folder, "run"),
            rounds=options.rounds,
            frames=options.frames,
            executor=options.workers,
            progress=False,
        ).learn(report)


if __name__ == "__main__":
    main()
