"""How the experts lap the tracks: python benchmarks/laps.py [--tracks lake jungle] [--reverse]."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from udacity_gym.env import UdacityEnv
from udacity_gym.experts import PID, Expert, PurePursuit, Racing
from udacity_gym.world.track.track import Track

EXPERTS: dict[str, Callable[[Track], Expert]] = {
    "PID()": lambda track: PID(),
    "PID(5.0, 0.8, 3.0)": lambda track: PID(5.0, 0.8, 3.0),
    "PurePursuit(track)": PurePursuit,
    "PurePursuit(track, speed=13.5)": lambda track: PurePursuit(track, speed=13.5),
    "Racing(track)": Racing,
    'Racing(track, within="road")': lambda track: Racing(track, within="road"),
}


def drive(expert: Expert, track: Track, laps: int = 2) -> list[dict[str, Any]]:
    """Infos of every step of so many laps, or until the car is off the road or late."""
    env = UdacityEnv(cameras=(), track=track, max_laps=laps, max_seconds=laps * track.length / 3.0)
    observation, info = env.reset(seed=0)
    infos, ended = [info], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert(observation, info))
        infos.append(info)
        ended = terminated or truncated
    env.close()
    return infos


def row(name: str, infos: list[dict[str, Any]]) -> str:
    """A line of the table."""
    if infos[-1]["end_reason"] != "max_laps":
        return f"| `{name}` | {infos[-1]['end_reason']} at {infos[-1]['s']:.0f} m | | | | |"
    line = next(i for i, info in enumerate(infos) if info["lap"] == 1)
    standing, flying = infos[line]["time"], infos[-1]["time"] - infos[line]["time"]
    cte = np.abs([info["cte"] for info in infos[line:]])
    unrest = np.abs(np.diff([info["steering"] for info in infos[line:]])).mean()
    wide = sum(info["off_lane"] for info in infos) / 15
    return (
        f"| `{name}` | {standing:.1f} s | {flying:.1f} s | {cte.mean():.2f} m, {cte.max():.2f} m "
        f"| {unrest:.3f} | {wide:.1f} s |"
    )


def main() -> None:
    """Print a table for each track."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", nargs="+", default=["lake", "jungle"])
    parser.add_argument("--reverse", action="store_true", help="the other way around")
    options = parser.parse_args()
    for name in options.tracks:
        track = Track.load(name).reversed() if options.reverse else Track.load(name)
        print(f"\n{track}{', reversed' if options.reverse else ''}\n")
        print("| expert | first lap | second lap | cte, mean and max | steering per step | off lane |")
        print("|---|---|---|---|---|---|")
        for expert, make in EXPERTS.items():
            print(row(expert, drive(make(track), track)), flush=True)


if __name__ == "__main__":
    main()
