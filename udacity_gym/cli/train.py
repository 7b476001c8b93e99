"""``udacity-gym train``: a learner learns from recordings."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from udacity_gym.cli.options import (
    ADDRESS,
    COMMON_OPTIONS,
    EXECUTOR,
    EXECUTOR_OPTION,
    WORKERS,
    About,
    add_setting,
    plain_type,
    read_value,
)
from udacity_gym.cli.outputs import check_writable, no_empty_folders
from udacity_gym.cli.people import STEERING, people
from udacity_gym.cli.shared import EXPERT, check_seed, executor_of, make_env, make_expert
from udacity_gym.errors import OptionError
from udacity_gym.files import write_whole
from udacity_gym.text import count

HUMAN = "human"
"""The expert at this machine's keyboard or gamepad."""
MANY_STRAIGHT = 0.4
"""Share of rows with a steering of exactly 0 from which on they look like those of a keyboard."""


@dataclass(frozen=True)
class Options:
    """Train a policy on recordings.

    Every setting of the learner is an option; --help lists those of --algorithm, behavioural cloning without.
    The output folder gets "policy" (the best checkpoint so far), "state" (to go on from after an
    interruption: the same command again) and "tensorboard" (the log).
    """

    recordings: Annotated[tuple[Path, ...], About("folders with a driving_log.csv", positional=True)]
    output: Annotated[Path, About("folder of the training")] = Path("training")
    algorithm: Annotated[str, About("learner: a name of udacity-gym learners, or package:Class")] = "bc"
    option: Annotated[
        tuple[str, ...],
        About("a setting of the learner, as --key value sets it too", repeated=True, shown="KEY=VALUE"),
    ] = ()
    track: Annotated[str, About("track used by learners that collect their own data")] = "lake"
    direction: Annotated[
        Literal["forward", "reverse"] | None, About("driving direction, if not the track's own")
    ] = None
    conditions: Annotated[str, About("weather and light there: rain, dusk, ...")] = "clear"
    expert: Annotated[
        str,
        About("expert of learners that need one: expert, racing, pid, a policy, or human (in a window)"),
    ] = EXPERT
    seed: Annotated[int, About("seed of everything random")] = 0
    tracker: Annotated[str, About("shows the results of each epoch or round: tensorboard or wandb")] = (
        "tensorboard"
    )
    workers: WORKERS = None
    executor: EXECUTOR = None
    address: ADDRESS = None
    executor_option: EXECUTOR_OPTION = ()


_GOES_ON = {"state": "epoch", "settings.json": "round"}
"""What our learners keep to go on from, and after what they do."""


def run(options: Options) -> int:
    """Train."""
    check_seed(options.seed)
    check_writable(options.output, "--output")

    from algorithms.learners import find_learner, make_learner, options_of
    from udacity_gym.recording import open_recording

    learner_class = find_learner(options.algorithm)
    types = {option.name: option.type for option in options_of(learner_class) or []}
    settings = read_settings(options.option, types)
    recordings = []
    for path in options.recordings:
        recording = open_recording(path)
        print(recording.report, end="\n\n")
        recordings.append(recording)
    policy_folder = options.output / "policy"
    try:
        with no_empty_folders(options.output), _env_and_expert(learner_class, options) as given:
            learner = make_learner(
                learner_class, recordings, settings, seed=options.seed, folder=options.output, **given
            )
            print(*computation(learner), sep="\n")
            policy = learner.learn()
            policy.save(policy_folder)
            if hasattr(learner_class, "load"):
                named = json.dumps({"learner": options.algorithm})
                from algorithms.learners import LEARNER_FILE

                write_whole(options.output / LEARNER_FILE, f"{named}\n")
    except KeyboardInterrupt:
        for name, whole in _GOES_ON.items():
            if (options.output / name).exists():
                raise KeyboardInterrupt(f"the same command goes on after the last whole {whole}") from None
        raise
    print("\n".join(outcome(learner, policy)))
    print(f"\nThe policy is in {policy_folder}. Let it drive:")
    print(f"  udacity-gym evaluate {options.output}")
    return 0


def computation(learner: Any) -> list[str]:
    """Where and in which precision a learner of ours trains, as lines of text."""
    from algorithms.policies.device import describe_device, find_device
    from algorithms.training.config import TrainingConfig

    config = getattr(learner, "config", None)
    if not isinstance(config, TrainingConfig):
        return []
    return [f"Training on {describe_device(find_device(config.device))} in {config.precision}."]


def add_late_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the settings of the learner that the command line names as options.

    Args:
        parser: the parser of `Options`.
        words: the command line after the verb.

    Raises:
        OptionError: There is no such learner, or it has no setting that an option names.
    """
    from algorithms.learners import check_option, find_learner, options_of

    finder = argparse.ArgumentParser(add_help=False)
    finder.add_argument("--algorithm", default=Options.algorithm)
    algorithm = finder.parse_known_args(list(words))[0].algorithm
    learner_class = find_learner(algorithm)
    own = {field.name for field in fields(Options)} | {*COMMON_OPTIONS, "help"}
    settings = [setting for setting in options_of(learner_class) or [] if setting.name not in own]
    group = parser.add_argument_group(f"settings of {algorithm}")
    for setting in settings:
        if not is_dataclass(plain_type(setting.type)):  # nobody writes one as a word
            add_setting(group, "option", setting.name, setting.type, setting.default, setting.description)
    for name in (word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")):
        known = (*own, *(setting.name for setting in settings))
        if not any(other.startswith(name.removeprefix("no_")) for other in known):
            check_option(learner_class, name)


def read_settings(texts: Sequence[str], types: Mapping[str, Any]) -> dict[str, Any]:
    """Read settings such as ``rounds=5``, ``beta=linear`` or ``put_back=true``.

    Args:
        texts: each ``key=value``.
        types: types of the settings.

    Raises:
        OptionError: There is no key, or one is there twice.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        name = key.strip().replace("-", "_")
        if not sign or not name.isidentifier():
            raise OptionError(f"--option {text!r} must be KEY=VALUE, such as --option epochs=5")
        if name in settings:
            raise OptionError(f"{name} is given twice")
        settings[name] = read_value(types.get(name, Any), value)
    return settings


@contextlib.contextmanager
def _env_and_expert(learner_class: Any, options: Options) -> Iterator[dict[str, Any]]:
    """The environment, the expert and the other objects that a learner's signature names."""
    from algorithms.learners import wants

    given: dict[str, Any] = {}
    asked = wants(learner_class, "expert")
    by_hand = asked and options.expert == HUMAN
    takes_over = getattr(learner_class, "asks_human", None)  # learners of others may not tell
    if by_hand:
        if takes_over is False:
            raise OptionError(
                f"{options.algorithm} needs an expert that always has an answer, people have one only while "
                "they drive; --algorithm hg_dagger learns from people who take over"
            )
        from udacity_gym.experts import Corrections

        given["expert"] = Corrections(people("any", f"--expert {HUMAN}"))
        print(f"Touch the controls to correct the policy.\n{STEERING}")
    elif asked:
        from udacity_gym.world.track.track import Track

        expert = make_expert(options.expert, Track.load(options.track).facing(options.direction))
        if takes_over:
            from udacity_gym.experts import ScriptedHuman

            expert = ScriptedHuman(expert)
            print(f"{options.expert} acts as a human who takes over when the car leaves its path.\n")
        given["expert"] = expert
    if wants(learner_class, "tracker"):
        given["tracker"] = options.tracker
    executor = executor_of(options)
    if wants(learner_class, "executor"):
        given["executor"] = executor
    elif executor != 1:
        raise OptionError(f"{options.algorithm} collects no data, so that it needs no workers")
    if not wants(learner_class, "env"):
        yield given
        return
    make = partial(
        make_env,
        options.track,
        direction=options.direction,
        conditions=options.conditions,
        render_mode="human" if by_hand else None,
    )
    if executor != 1:  # each worker makes its own
        yield given | {"env": make}
        return
    with contextlib.closing(make()) as env:
        yield given | {"env": env}


def outcome(learner: Any, policy: Any) -> list[str]:
    """What the training came to, against what needs no learning at all, as lines of text.

    Args:
        learner: the learner after training.
        policy: what it has learnt.

    Returns:
        A table of steering on the rows that were set aside: mean absolute error in shares of full
        lock, and correlation with the driver's steering. Nothing of a learner that sets no rows aside.
    """
    frames = getattr(learner, "validation_frames", None)
    if frames is None:
        return []
    if not len(frames):
        return [f"{count(len(learner.epoch_log), 'epoch')}; no rows were set aside to validate on"]
    truth = np.asarray(frames.steering, np.float64)
    from algorithms.dagger.replay import replay
    from udacity_gym.evaluation import correlation

    steering = replay(policy, frames).actions[:, 0].astype(np.float64)
    mean = float(np.mean(learner.train_frames.steering))
    guesses = {
        type(getattr(policy, "network", policy)).__name__: steering,
        "always straight": np.zeros_like(truth),
        "always the mean": np.full_like(truth, mean),
    }
    title = f"steering on {count(len(truth), 'row')} set aside, never trained on"
    lines = [f"{title:<52}error  correlation"]
    for name, guess in guesses.items():
        likeness = np.nan_to_num(correlation(guess, truth))  # 0 for a guess that never changes
        lines.append(f"  {name:<50}{np.abs(guess - truth).mean():.4f}  {likeness:>11.2f}")
    straight = float(np.mean(frames.recorded_steering == 0))
    if straight > MANY_STRAIGHT:
        lines += [
            f"The driver's wheel is exactly straight in {straight:.0%} of these rows, as with a keyboard.",
            "Going straight then has a small error without following the road; the drive will tell.",
        ]
    return lines
