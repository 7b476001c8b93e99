"""How the experts lap the tracks: python benchmarks/laps.py [--tracks lake jungle] [--reverse]."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from proofs import markdown, markdown_row

from udacity_gym.driving import drive
from udacity_gym.env import UdacityEnv
from udacity_gym.experts import PID, Expert, PurePursuit, Racing
from udacity_gym.world import Track

EXPERTS: dict[str, Callable[[], Expert]] = {
    "PID()": PID,
    "PID(5.0, 0.8, 3.0)": lambda: PID(5.0, 0.8, 3.0),
    "PurePursuit()": PurePursuit,
    "PurePursuit(speed=13.5)": lambda: PurePursuit(speed=13.5),
    "Racing()": Racing,
    'Racing(within="road")': lambda: Racing(within="road"),
}

TITLES = ("expert", "first lap", "second lap", "cte, mean and max", "steering per step", "off lane")


def row(name: str, expert: Expert, track: Track) -> str:
    """Drive two laps, until the car is off the road or late; a line of the table."""
    env = UdacityEnv(cameras=(), track=track)
    steps = list(drive(env, expert, laps=2, seconds=2 * track.length / 3.0, seed=0))
    env.close()
    last = steps[-1]
    if last.lap < 2:
        where = f"{last.reason or 'late'} at {last.next_info['s']:.0f} m"
        return markdown_row([f"`{name}`", where, "", "", "", ""])
    line = next(i for i, step in enumerate(steps) if step.lap == 1)
    standing, flying = steps[line].time, last.time - steps[line].time
    cte = np.abs([step.next_info["cte"] for step in steps[line:]])
    unrest = np.abs(np.diff([step.next_info["steering"] for step in steps[line:]])).mean()
    wide = sum(step.next_info["off_lane"] for step in steps) / 15
    return markdown_row(
        [
            f"`{name}`",
            f"{standing:.1f} s",
            f"{flying:.1f} s",
            f"{cte.mean():.2f} m, {cte.max():.2f} m",
            f"{unrest:.3f}",
            f"{wide:.1f} s",
        ]
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
        print(markdown(TITLES))
        for expert, make in EXPERTS.items():
            print(row(expert, make(), track), flush=True)


if __name__ == "__main__":
    main()
