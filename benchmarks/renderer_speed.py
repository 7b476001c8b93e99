"""Pictures per second of the renderer, on one core, around the lake.

    python benchmarks/renderer_speed.py

Every round draws pictures at places all around the lap; printed are the median over rounds by the
clock on the wall and by the processor time of this process (the fairer figure where other programs
share the cores), and the best place-by-place figure (what an undisturbed core reaches).
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from dataclasses import dataclass

import numpy as np

from udacity_gym.telemetry import CAMERAS
from udacity_gym.world.camera import CameraRig, camera_row
from udacity_gym.world.track import Track

SIZES = ((320, 160), (200, 66), (160, 80), (640, 360))


@dataclass
class Args:
    """Options.

    Attributes:
        track: name or file of the track.
        places: places around the lap.
        rounds: times around the lap.
    """

    track: str = "lake"
    places: int = 48
    rounds: int = 9


def measure(rig: CameraRig, track: Track, cameras: int, args: Args) -> tuple[float, float, float]:
    """Sets of pictures per second: median by wall clock, median by processor time, best."""
    names = CAMERAS[:cameras]
    rows = [
        np.stack([camera_row(track.pose_at(s, 0.5), name, "autonomous") for name in names])
        for s in np.linspace(0.0, track.length, args.places, endpoint=False)
    ]
    out = np.empty((cameras, rig.height, rig.width, 3), np.uint8)
    overlays = list(range(cameras))
    best = [float("inf")] * len(rows)
    wall, cpu = [], []
    for k in range(args.rounds + 1):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        for place, row in enumerate(rows):
            start = time.perf_counter()
            rig.renderer.render(row, out, overlays)
            best[place] = min(best[place], time.perf_counter() - start)
        if k > 0:  # the first round warms the caches
            wall.append(len(rows) / (time.perf_counter() - begun))
            cpu.append(len(rows) / (time.process_time() - begun_cpu))
    return statistics.median(wall), statistics.median(cpu), len(rows) / sum(best)


def main() -> None:
    """Measure and print."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    for name, default in vars(Args()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    args = Args(**vars(parser.parse_args()))
    track = Track.load(args.track)
    begun = time.perf_counter()
    rig = CameraRig(track)
    rig.draw(track.pose_at(0.0), "center", "autonomous")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"scene and first picture: {time.perf_counter() - begun:.2f} s")
    print(f"{'size':>9} {'cameras':>8} {'pictures/s, wall':>17} {'processor':>10} {'undisturbed':>12}")
    for width, height in SIZES:
        sized = CameraRig(track, width, height)
        for cameras in (1, 3):
            figures = (cameras * figure for figure in measure(sized, track, cameras, args))
            wall, cpu, best = (f"{figure:,.0f}" for figure in figures)
            print(f"{width:>5}x{height:<3} {cameras:>8} {wall:>17} {cpu:>10} {best:>12}")


if __name__ == "__main__":
    main()
