"""What conditions and sensors cost: ms per image of 320x160, on one core, around a track.

    python benchmarks/conditions_speed.py [--track lake]

Printed is the mean over places of the best of several rounds: what an undisturbed core takes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from udacity_gym.conditions import NAMED
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.rendering.renderer import Look
from udacity_gym.world.track.track import Track

POSITIONS, ROUNDS = 24, 7


def main() -> None:
    """Measure and print."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--track", default="lake")
    track = Track.load(parser.parse_args().track)
    rig = CameraRig(track)
    stations = np.linspace(0.0, track.length, POSITIONS, endpoint=False)
    rows = [
        camera_row(track.pose_at(s, track.reference_offset), "center", "autonomous")[None] for s in stations
    ]
    shape = (1, rig.height, rig.width)
    image, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
    labels = np.empty(shape, np.uint8)

    def measure(**settings: object) -> float:
        best = [float("inf")] * POSITIONS
        for _ in range(ROUNDS):
            for place, row in enumerate(rows):
                start = time.perf_counter()
                rig.renderer.render(row, image, [0], **settings)
                best[place] = min(best[place], time.perf_counter() - start)
        return 1e3 * sum(best) / POSITIONS

    print(f"{'plain':<16} {measure():.2f} ms")
    print(f"{'depth':<16} {measure(depth=depth):.2f} ms")
    print(f"{'both sensors':<16} {measure(depth=depth, labels=labels):.2f} ms")
    for name, conditions in NAMED.items():
        print(f"{name:<16} {measure(looks=[Look(conditions, 1)]):.2f} ms")


if __name__ == "__main__":
    main()
