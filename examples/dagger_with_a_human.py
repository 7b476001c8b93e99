"""DAgger with you as the expert: HG-DAgger (Kelly et al. 2019), in a window.

A program drives a lap, and a small ensemble of PilotNets learns from it. Then it drives in a window, and
you watch. When it leaves the middle of the lane, take over: steer with the arrow keys or a gamepad, and let
go when it is back. Only your corrections are labels. After each round the ensemble is trained again, on all
labels so far. At the end the first and the last policy drive a lap, and the program checks that yours needs
less help.

    pip install "udacity-gym[human]"
    python examples/dagger_with_a_human.py --output my-corrections     # goes on where you stopped
    python examples/dagger_with_a_human.py --scripted                 # a program plays the human

The view Teach of the cockpit does the same in a browser, also from another machine: udacity-gym cockpit
workspace
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium

import udacity_gym
from algorithms import Augmentation, HGDAgger, Policy
from udacity_gym.evaluation import Evaluation, evaluate
from udacity_gym.experts import Corrections, Human, PurePursuit, ScriptedHuman
from udacity_gym.recording import record
from udacity_gym.telemetry import CAMERAS

SPEED = 10.0
"""m/s; a controller keeps it, so that you only steer."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Record, let the policy be corrected in rounds, compare its first and last version."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scripted", action="store_true", help="let a program play the human")
    parser.add_argument("--rounds", type=int, default=4, help="rounds, the first one without a human")
    parser.add_argument("--frames", type=int, default=600, help="frames in each round; 15 are a second")
    parser.add_argument(
        "--steps", type=int, default=60, help="batches of 64 images in each epoch of training"
    )
    parser.add_argument("--record-seconds", type=float, default=115.0, help="of demonstrations, a lap")
    parser.add_argument("--output", type=Path, help="folder to keep everything in, and to go on from")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.output or Path(scratch)
        laps = folder / "laps"
        if not laps.exists():
            with gymnasium.make(udacity_gym.ENV_ID, cameras=CAMERAS, mode="training") as env:
                record(env, PurePursuit(speed=SPEED), laps, seconds=options.record_seconds, seed=0)
        learner = teach(laps, folder / "learner", options)
        first, last = judge(learner.policy(0)), judge(learner.policy(options.rounds - 1))
    takeovers = [round.takeovers for round in learner.round_log[1:]]
    print(f"You took over {takeovers} times in the rounds.")
    print(
        f"Interventions in a lap: {first.interventions} before your corrections, {last.interventions} after"
    )
    assert last.interventions < first.interventions, "the corrections must help"


def teach(laps: Path, folder: Path, options: argparse.Namespace) -> HGDAgger:
    """Run the rounds, with a window for a human."""
    human: Any
    if options.scripted:
        human = ScriptedHuman(PurePursuit(speed=SPEED), cte=0.8, reaction_time=0.4)
    else:
        human = Corrections(Human("keyboard", "gamepad"))
    with gymnasium.make(udacity_gym.ENV_ID, render_mode=None if options.scripted else "human") as env:
        learner = HGDAgger(
            laps,
            env=env,
            expert=human,
            rounds=options.rounds,
            frames=options.frames,
            members=2,
            epochs=2,
            steps_per_epoch=options.steps,
            # Plain images of one camera, so that the first policy has something to learn from you.
            side_cameras=0.0,
            augmentation=Augmentation(flip=0, shift=0, turn=0, vertical=0),
            throttle="speed_control",
            target_speed=SPEED,
            folder=folder,
            seed=0,
        )
        learner.learn()
    return learner


def judge(policy: Policy) -> Evaluation:
    """Let a policy drive a lap."""
    with gymnasium.make(udacity_gym.ENV_ID) as env:
        return evaluate(policy, env, laps=1)


if __name__ == "__main__":
    main()
