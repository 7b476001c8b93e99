"""Hours of simulated driving over the wire in lock-step: memory and thread count must stay flat.

The simulator runs in a process of its own (udacity-gym sim), the environment with an expert in this one,
with the center camera's image in every step and an episode every ten simulated minutes. Memory is the
resident set of either process. It ends with an error if something grew.

Run it with: python benchmarks/wire_soak.py --hours 2
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium

import udacity_gym
from udacity_gym.driving import drive
from udacity_gym.experts import PurePursuit

EPISODE = 600.0
"""Simulated s per episode."""
WARM = 0.1
"""Share of the drive after which memory should have settled."""
ALLOWED = 8.0
"""MB by which a process may grow after that."""


def memory(process: int | str) -> float:
    """Resident set of a process in MB."""
    fields = Path(f"/proc/{process}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) / 1024


def threads(process: int) -> int:
    """Number of threads of a process."""
    return int(Path(f"/proc/{process}/status").read_text().split("Threads:")[1].split()[0])


def seconds_driven(env: gymnasium.Env[Any, Any], total: float) -> Iterator[float]:
    """Drive one episode after another; seconds driven so far, after each step."""
    before = 0.0
    for seed in itertools.count():
        for step in drive(env, PurePursuit(), seconds=EPISODE, seed=seed):
            if step.ends_episode:
                raise SystemExit(f"the drive ended: {step.reason}")
            yield before + step.time
            if before + step.time >= total:
                return
        before += step.time


def main() -> int:
    """Drive, measure, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=0.25, help="simulated hours to drive")
    parser.add_argument("--rows", type=int, default=12, help="rows of the table")
    options = parser.parse_args()

    env = gymnasium.make(udacity_gym.ENV_ID, simulator="remote", port=0, disable_env_checker=True)
    port = env.unwrapped.simulator.server.port  # type: ignore[attr-defined]
    simulator = subprocess.Popen(
        [sys.executable, "-m", "udacity_gym", "sim", "--port", str(port)], stdout=subprocess.DEVNULL
    )
    total = options.hours * 3600
    driven = 0.0
    rows: list[tuple[float, float, float, int, int]] = []
    begin = time.monotonic()
    print(f"{'simulated':>10}{'real s':>8}{'env MB':>9}{'sim MB':>9}{'threads':>9}{'sim threads':>13}")
    try:
        for driven in seconds_driven(env, total):
            if driven >= total * (len(rows) + 1) / options.rows:
                row = (
                    driven,
                    memory("self"),
                    memory(simulator.pid),
                    threading.active_count(),
                    threads(simulator.pid),
                )
                rows.append(row)
                print(
                    f"{driven / 60:>6.0f} min{time.monotonic() - begin:>8.0f}{row[1]:>9.1f}{row[2]:>9.1f}"
                    f"{row[3]:>9}{row[4]:>13}",
                    flush=True,
                )
    finally:
        env.close()
        simulator.terminate()
        simulator.wait(10)
    settled = [row for row in rows if row[0] >= WARM * total]
    first, last = settled[0], settled[-1]
    grown = last[1] - first[1] > ALLOWED or last[2] - first[2] > ALLOWED or last[3:] != first[3:]
    steps = driven * 15
    print(f"{steps / (time.monotonic() - begin):.0f} steps/s; " + ("something GREW" if grown else "flat"))
    return int(grown)


if __name__ == "__main__":
    raise SystemExit(main())
