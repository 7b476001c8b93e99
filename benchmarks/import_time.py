"""Seconds of ``import udacity_gym`` in fresh processes, beside ``import gymnasium`` in the same run.

The two take turns, so that whatever else the machine does hits both alike.

Run it with: python benchmarks/import_time.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

TIMED = "import time; begin = time.perf_counter(); import {module}; print(time.perf_counter() - begin)"


def seconds(module: str) -> float:
    """Time one import in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(module=module)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15, help="fresh processes per module, the median counts")
    runs = parser.parse_args().runs

    modules = ("gymnasium", "udacity_gym")
    for module in modules:
        seconds(module)  # write the byte code first
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(runs):
        for module in modules:
            times[module].append(seconds(module))
    medians = {module: statistics.median(times[module]) for module in modules}
    for module in modules:
        print(f"import {module:<14}{medians[module]:>8.3f} s   (fastest {min(times[module]):.3f} s)")
    print(f"ratio {medians['udacity_gym'] / medians['gymnasium']:.2f}")


if __name__ == "__main__":
    main()
