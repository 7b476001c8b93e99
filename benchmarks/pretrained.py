"""Train the pretrained policies of the package: a PilotNet for each track, by DAgger with a built-in expert.

An expert drives round 0 and labels the rounds that the policy drives. The weights are rounded to half
precision. The resulting policy drives three laps from three places, and its model card has the results.
The same seed on the same machine gives the same files. About ten minutes on two cores.

    python benchmarks/pretrained.py --output udacity_gym/pretrained    all tracks, into the package
    python benchmarks/pretrained.py lake --output new                  one track, into another folder
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gymnasium
from proofs import add_output_option

import udacity_gym
from algorithms import Augmentation, DAgger, load_policy
from algorithms.policies.device import find_device, quickest_precision
from udacity_gym.evaluation import Suite, run_suite, scenarios
from udacity_gym.executors import open_executor
from udacity_gym.experts import PurePursuit
from udacity_gym.hub import CARD, policy_card
from udacity_gym.text import count
from udacity_gym.world.track.track import Track


@dataclass(frozen=True)
class Recipe:
    """How a policy is trained.

    Attributes:
        track: the track.
        speed: m/s that expert and policy drive at.
        rounds: rounds of DAgger.
        frames: rows of each round.
    """

    track: str
    speed: float
    rounds: int
    frames: int
    seed: int = 0


RECIPES = {
    recipe.track: recipe
    for recipe in (
        Recipe("lake", speed=12.0, rounds=5, frames=1200),
        Recipe("jungle", speed=8.0, rounds=6, frames=1500),
        Recipe("mountain", speed=8.0, rounds=6, frames=1500),
    )
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, evaluate, and fail if a policy needs help."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tracks", nargs="*", help=f"of {', '.join(RECIPES)}; none for all")
    add_output_option(parser)
    parser.add_argument("--processes", type=int, default=2, help="tracks at a time")
    options = parser.parse_args(arguments)
    jobs = [RECIPES[track] for track in options.tracks or RECIPES]
    longest_first = sorted(jobs, key=lambda recipe: -Track.load(recipe.track).length)
    start_time = time.monotonic()
    failures = 0
    with open_executor(options.processes) as executor:
        make = functools.partial(train_and_evaluate, output=options.output)
        for number, (text, failed) in executor.map(make, longest_first):
            print(f"{longest_first[number].track}\n{text}\n", flush=True)
            failures += failed
    print(f"{time.monotonic() - start_time:.0f} s")
    if failures:
        sys.exit(f"{count(failures, 'lap')} needed help: these policies are not good enough")


def train_and_evaluate(recipe: Recipe, output: Path) -> tuple[str, int]:
    """Make the folder of a policy.

    Returns:
        The results as text, and the number of laps that were not driven without help.
    """
    start_time = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = train(recipe, Path(scratch))
        seconds = time.monotonic() - start_time
        result = run_suite(load_policy(folder), suite_of(recipe.track), name=f"pretrained:{recipe.track}")
        card = policy_card(folder, f"pretrained:{recipe.track}", str(result), facts_of(recipe))
        (folder / CARD).write_text(card, encoding="utf-8")
        target = output / recipe.track
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    failures = [drive for drive in result.drives() if drive.interventions or not drive.complete]
    return f"{result}\ntrained in {seconds:.0f} s", len(failures)


def train(recipe: Recipe, folder: Path) -> Path:
    """Train a policy, and save it in half precision."""
    track = Track.load(recipe.track)
    line = track.reference_offset
    env = gymnasium.make(udacity_gym.ENV_ID, track=recipe.track)
    learner = DAgger(
        env=env,
        expert=PurePursuit(speed=recipe.speed),
        rounds=recipe.rounds,
        frames=recipe.frames,
        rollouts=4,
        start={"s": "random", "offset": (line - 1.5, line + 1.5), "speed": recipe.speed},
        augmentation=Augmentation(flip=0.5 if line == 0 else 0.0),  # a lane is on one side of the road
        throttle="speed_control",
        target_speed=recipe.speed,
        epochs=3,
        precision=quickest_precision(find_device("cpu")),
        device="cpu",
        threads=1,
        seed=recipe.seed,
        progress=False,
    )
    policy = learner.learn()
    env.close()
    policy.network.half()
    return Path(policy.save(folder / "policy"))


def facts_of(recipe: Recipe) -> dict[str, str]:
    """What the model card says about the training."""
    return {
        "Data": f"{count(recipe.rounds, 'round')} of {recipe.frames} frames on the track {recipe.track}, "
        "driven forward, in clear weather; no recording of a human",
        "Expert": f"`PurePursuit` at {recipe.speed:g} m/s, which drives round 0 and labels the other rounds",
        "Weights": "rounded to half precision after the training",
        "Command": f"`python benchmarks/pretrained.py {recipe.track} --output new`, seed {recipe.seed}",
    }


def suite_of(track: str) -> Suite:
    """Three laps of a track."""
    about = f"the {track}, from three places"
    return Suite(f"{track}-laps-v1", scenarios((track,)), seeds=(0, 1, 2), intervene=("edge",), about=about)


if __name__ == "__main__":
    main()
