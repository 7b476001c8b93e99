"""Checkpoints: a folder with weights (safetensors) and everything else (JSON). Nothing is ever pickled.

A policy's folder holds ``policy.safetensors`` and ``policy.json``. The JSON says which network it is,
how images are prepared, what the actions mean, the target speed, and the SHA-256 of the weights, so
that an incomplete copy is detected. A save that is interrupted, at any moment, leaves either the old
checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from udacity_gym.driving.loading import ADVICE
from udacity_gym.errors import CheckpointError
from udacity_gym.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

NAME = "policy"
"""Stem of the two files of a policy."""

FORMAT = "udacity-gym-policy"
VERSION = 4
"""Version 3 had no ``policy``, ``cameras`` and ``chunks``: policies took one camera and predicted one action.
Version 2 used other names, see `algorithms.older_files`. Version 1 had no ``loss``, ``inputs`` and past
frames: the network mapped one image to the action itself."""


def write_checkpoint(
    folder: str | Path, name: str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> Path:
    """Write ``name.safetensors`` and ``name.json`` into a folder.

    The JSON names the weights by their SHA-256, so replacing the JSON replaces the checkpoint. New weights
    are first written beside the old ones under a pending name, and replace them after the JSON has been
    written. `read_checkpoint` looks for both names.

    Args:
        folder: the folder; an older checkpoint of the same name in it is replaced.
        name: stem of the two files.
        tensors: the weights.
        description: everything else; the weights' SHA-256 is added.

    Returns:
        The folder.

    Raises:
        CheckpointError: The folder holds other files, or can't be written to.
    """
    folder = Path(folder)
    expected = {f"{name}.safetensors", f"{name}.json", *(path.name for path in _leftovers(folder, name))}
    if folder.exists():
        present = {path.name for path in folder.iterdir()} if folder.is_dir() else {"a file"}
        foreign = sorted(present - expected)
        if foreign:
            raise CheckpointError(
                f"{folder} holds something else ({', '.join(foreign)}); choose another folder"
            )
    from safetensors.torch import save as save_tensors

    weights = save_tensors({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    digest = hashlib.sha256(weights).hexdigest()
    text = json.dumps({**description, "weights_sha256": digest}, indent=2) + "\n"
    pending = folder / _pending_name(name, digest)
    _write_whole(pending, weights)
    _write_whole(folder / f"{name}.json", text.encode())
    os.replace(pending, folder / f"{name}.safetensors")
    for path in _leftovers(folder, name):
        path.unlink()
    return folder


def _pending_name(name: str, digest: str) -> str:
    """File name of new weights until the JSON names them."""
    return f"{name}-{digest}.safetensors"


def _leftovers(folder: Path, name: str) -> Iterator[Path]:
    """Files that interrupted saves have left."""
    digest = "[0-9a-f]" * 64
    hidden = f".{name}*.part.*"  # unfinished files of `udacity_gym.files.replacing`
    for pattern in (_pending_name(name, digest), hidden):
        yield from folder.glob(pattern)


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file that gets its name only once it is complete and on disk."""
    with replacing(path, CheckpointError) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(
    folder: Path, name: str, expected_format: str, versions: tuple[int, ...]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint that `write_checkpoint` has written, and check that it is complete.

    Args:
        folder: the folder of the checkpoint.
        name: stem of the two files.
        expected_format: value of ``format`` in the description.
        versions: versions of the format that the caller can read.

    Returns:
        The tensors and the description.

    Raises:
        CheckpointError: There is no checkpoint, or it is incomplete, corrupt, or of another kind.
    """
    from safetensors.torch import load as load_tensors

    return _read(folder, name, expected_format, versions, load_tensors)


def read_weights(
    folder: Path, name: str, expected_format: str
) -> tuple[dict[str, NDArray[np.floating[Any]]], dict[str, Any]]:
    """Read a checkpoint of any version as `read_checkpoint` does, but as arrays and without torch.

    Args:
        folder: see `read_checkpoint`.
        name: see `read_checkpoint`.
        expected_format: see `read_checkpoint`.

    Raises:
        CheckpointError: See `read_checkpoint`.
    """
    from safetensors.numpy import load as load_arrays

    return _read(folder, name, expected_format, None, load_arrays)


def _read(
    folder: Path,
    name: str,
    expected_format: str,
    versions: tuple[int, ...] | None,
    load: Callable[[bytes], dict[str, T]],
) -> tuple[dict[str, T], dict[str, Any]]:
    """The weights as ``load`` reads them, and the description. All versions if ``versions`` is None."""
    description_path, weights_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    if folder.is_file():
        advice = ADVICE.get(folder.suffix, "is a file; a checkpoint is a folder")
        raise CheckpointError(f"{folder} {advice}")
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}: there is no such folder")
    if not description_path.is_file():
        raise _incomplete(description_path)
    try:
        description = json.loads(description_path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{description_path} is corrupt: {error}") from error
    if not isinstance(description, dict) or description.get("format") != expected_format:
        raise CheckpointError(
            f"{description_path}: 'format' is not {expected_format!r}; it belongs to something else"
        )
    if versions is not None and description.get("version") not in versions:
        raise CheckpointError(
            f"{description_path}: version {description.get('version')!r}, but this library reads "
            f"{' and '.join(map(str, versions))}; it was written by another version of this library"
        )
    digest = str(description.get("weights_sha256"))
    pending = folder / _pending_name(name, digest)  # exists if a save was interrupted
    if pending.is_file():
        weights_path = pending
    if not weights_path.is_file():
        raise _incomplete(weights_path)
    weights = weights_path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != digest:
        raise CheckpointError(
            f"{weights_path} is corrupt or of another checkpoint: its SHA-256 is not the one written in "
            f"{description_path.name}; copy both files again"
        )
    try:
        return load(weights), description
    except SafetensorError as error:
        raise CheckpointError(f"{weights_path} is corrupt: {error}") from error


def _incomplete(missing: Path) -> CheckpointError:
    present = sorted(entry.name for entry in missing.parent.iterdir())[:5]
    return CheckpointError(
        f"{missing.parent} is no checkpoint or an incomplete one: it has no {missing.name}; it has {present}"
    )


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Check that the tensors of a file fit a network.

    Raises:
        CheckpointError: Names or shapes differ; the message names the first difference.
    """
    for name in sorted(tensors.keys() ^ expected.keys()):
        what = "is missing" if name in expected else "is not known to it"
        raise CheckpointError(f"{source}: weights of another network: {name} {what}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise CheckpointError(
                f"{source}: weights of another network: {name} has shape {tuple(tensors[name].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
