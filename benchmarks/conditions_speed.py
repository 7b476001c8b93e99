"""What conditions, sensors and the chase view cost: ms per image, on one core, around a track.

    python benchmarks/conditions_speed.py [--track lake]

Printed is the mean over places of the best of several rounds: what an undisturbed core takes; and its ratio
to a plain image of 320x160, the size of all but the chase view.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

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
    poses = [track.pose_at(s, track.reference_offset) for s in stations]
    rows = [camera_row(pose, "center", "autonomous")[None] for pose in poses]
    shape = (1, rig.height, rig.width)
    image, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
    labels = np.empty(shape, np.uint8)

    def measure(draw: Callable[[int], object]) -> float:
        best = [float("inf")] * POSITIONS
        for _ in range(ROUNDS):
            for place in range(POSITIONS):
                start = time.perf_counter()
                draw(place)
                best[place] = min(best[place], time.perf_counter() - start)
        return 1e3 * sum(best) / POSITIONS

    plain = measure(lambda place: rig.renderer.render(rows[place], image, [0]))

    def report(name: str, ms: float) -> None:
        print(f"{name:<16} {ms:.2f} ms {ms / plain:.2f}")

    def render(**settings: Any) -> float:
        return measure(lambda place: rig.renderer.render(rows[place], image, [0], **settings))

    report("plain", plain)
    report("depth", render(depth=depth))
    report("both sensors", render(depth=depth, labels=labels))
    for name, conditions in NAMED.items():
        report(name, render(looks=[Look(conditions, 1)]))
    report("chase, 640x360", measure(lambda place: rig.view("chase", poses[place], 640, 360)))


if __name__ == "__main__":
    main()
