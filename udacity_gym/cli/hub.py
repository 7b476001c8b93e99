"""``udacity-gym hub``: share policies, recordings and the environment on the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from udacity_gym.cli.options import About

_REPOSITORY = "name on the Hub, such as me/lake-pilot"
_PRIVATE = "make a new repository private"


@dataclass(frozen=True)
class Options:
    """Share policies, recordings and the environment on the Hugging Face Hub.

    Policies are loaded from there by their name: udacity-gym drive hf:me/lake-pilot.
    """


@dataclass(frozen=True)
class PolicyOptions:
    """Upload a policy with a model card."""

    policy: Annotated[str, About("folder of a policy or its training", positional=True)]
    repository: Annotated[str, About(_REPOSITORY, positional=True)]
    private: Annotated[bool, About(_PRIVATE)] = False


def push_policy(options: PolicyOptions) -> int:
    """Upload a policy."""
    from udacity_gym import hub

    print(hub.push_policy(options.policy, options.repository, private=options.private))
    return 0


@dataclass(frozen=True)
class RecordingOptions:
    """Upload a recording as a data set with a card."""

    path: Annotated[Path, About("recording: folder, log, zip file or pattern", positional=True)]
    repository: Annotated[str, About(_REPOSITORY, positional=True)]
    format: Annotated[Literal["lerobot", "huggingface"], About("format of the data set")] = "lerobot"
    private: Annotated[bool, About(_PRIVATE)] = False


def push_recording(options: RecordingOptions) -> int:
    """Upload a recording."""
    from udacity_gym import hub
    from udacity_gym.recording import open_recording

    recording = open_recording(options.path)
    print(hub.push_recording(recording, options.repository, format=options.format, private=options.private))
    return 0


@dataclass(frozen=True)
class EnvOptions:
    """Upload the environment for LeRobot's EnvHub."""

    repository: Annotated[str, About(_REPOSITORY, positional=True)]
    private: Annotated[bool, About(_PRIVATE)] = False


def push_env(options: EnvOptions) -> int:
    """Upload the environment."""
    from udacity_gym import hub

    print(hub.push_env(options.repository, private=options.private))
    return 0


VERBS = {
    "push-policy": (PolicyOptions, push_policy),
    "push-recording": (RecordingOptions, push_recording),
    "push-env": (EnvOptions, push_env),
}
