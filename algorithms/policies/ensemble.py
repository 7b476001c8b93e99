"""Ensembles: several policies that act by their mean, and whose disagreement is doubt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from algorithms.base import Action, Floats, Policy
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.files import digest_of, write_whole
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from algorithms.policies.device import Precision
    from algorithms.policies.export import Exported

FORMAT = "udacity-gym-ensemble"
VERSION = 1

State = tuple[NDArray[Any], ...]


class Ensemble(Policy):
    """Policies trained alike with different seeds (Lakshminarayanan et al. 2017; Menda et al. 2019).

    A checkpoint is a folder with ``policy.json``, which names a folder for each member. `load_policy` reads
    it like any other.

    Attributes:
        members: the policies.
    """

    def __init__(self, members: Sequence[Policy]) -> None:
        """Join policies to an ensemble.

        Raises:
            OptionError: There are no members, or their inputs or actions differ.
        """
        if not members:
            raise OptionError("an ensemble needs members")
        self.members = tuple(members)
        for name in (
            "actions",
            "image_size",
            "camera",
            "cameras",
            "target_speed",
            "throttle_law",
            "inputs",
            "past_frames",
        ):
            values = [getattr(member, name) for member in self.members]
            if any(value != values[0] for value in values):
                raise OptionError(f"members of an ensemble must have the same {name}, got {values}")
            setattr(self, name, values[0])

    def to(self, device: str | None = None, precision: Precision | None = None) -> Self:
        """Move the members to a device, or change their precision; see `NetworkPolicy.to`."""
        for member in self.members:
            move = getattr(member, "to", None)
            if move is not None:
                move(device, precision)
        return self

    def act(self, images: Image, measurements: Floats | None = None) -> Action:
        """The members' mean; see `Policy.act`."""
        optional = (measurements,) if self.inputs else ()
        actions = np.stack([member.act(images, *optional) for member in self.members])
        mean: Action = actions.mean(axis=0)
        return mean

    def predict_all(
        self, observation: Any, state: State | None = None, episode_start: NDArray[np.bool_] | None = None
    ) -> tuple[Floats, State | None]:
        """Choose the action of each member.

        Args:
            observation: see `Policy.predict`.
            state: the members' states, from the call before.
            episode_start: see `Policy.predict`.

        Returns:
            (members, len(actions)) float32 for one observation or (members, n, len(actions)) for n, and
            the new state.
        """
        size = 0 if state is None else len(state) // len(self.members)
        actions, states = [], []
        for i, member in enumerate(self.members):
            member_state = None if state is None else state[i * size : (i + 1) * size]
            action, member_state = member.predict(observation, member_state, episode_start)
            actions.append(action)
            states.append(member_state)
        new_states = [member_state for member_state in states if member_state is not None]
        return np.stack(actions), sum(new_states, ()) if new_states else None

    def predict_with_doubt(
        self, observation: Any, state: State | None = None, episode_start: NDArray[np.bool_] | None = None
    ) -> tuple[Action, State | None, Floats]:
        """The members' mean, the state, and their doubt, see `doubt_of`; otherwise like `Policy.predict`."""
        actions, state = self.predict_all(observation, state, episode_start)
        return actions.mean(axis=0), state, doubt_of(actions)

    def predict(
        self,
        observation: Any,
        state: State | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[Action, State | None]:
        """The members' mean; see `Policy.predict`."""
        actions, state = self.predict_all(observation, state, episode_start)
        return actions.mean(axis=0), state

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint; see `Policy.save`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted(
            path.name
            for path in folder.iterdir()
            if path.name != "policy.json" and not path.name.startswith(("member-", "."))
        )
        if foreign:
            raise CheckpointError(
                f"{folder} holds something else ({', '.join(foreign)}); choose another folder"
            )
        # Folders are named by their content, so members of an older save stay until policy.json names others.
        names = [_save_member(member, folder, i) for i, member in enumerate(self.members)]
        description = {"format": FORMAT, "version": VERSION, "members": names}
        write_whole(folder / "policy.json", json.dumps(description, indent=2) + "\n")
        for path in (*folder.glob("member-*"), *folder.glob(".member-*")):
            if path.name not in names:
                shutil.rmtree(path)
        return folder

    def export(self, path: str | Path) -> Exported:
        """Export the members' mean to one file that drives without this package; see `algorithms.export`.

        Args:
            path: ends in .onnx, or in .pt for TorchScript.
        """
        from algorithms.policies.export import export

        return export(self, path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.members)} of {self.members[0]!r})"


def _save_member(member: Policy, folder: Path, number: int) -> str:
    """Save a member in a folder that is named by its content; return that name."""
    part = folder / f".member-{number}.part"
    shutil.rmtree(part, ignore_errors=True)
    member.save(part)
    digest = digest_of(part)
    target = folder / f"member-{number}-{digest}"
    if digest_of(target) == digest:
        shutil.rmtree(part)
    else:
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    return target.name


def doubt_of(actions: Floats) -> Floats:
    """Doubt of an ensemble: the norm of the diagonal of the covariance of its members' actions.

    Kelly et al. 2019, section III.

    Args:
        actions: (members, ..., k).

    Returns:
        (...) float32.
    """
    doubt: Floats = np.linalg.norm(actions.var(axis=0), axis=-1).astype(np.float32)
    return doubt
