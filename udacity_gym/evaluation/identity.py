"""What tells who drives from everybody else: `identity_of`."""

from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

from udacity_gym.driving.onnx_policy import OnnxPolicy
from udacity_gym.files import digest_of


def identity_of(driver: object) -> str | None:
    """A hash of what somebody who drives is made of; equal in every process.

    A policy with ``save(folder)`` is what it saves, as its checkpoint is, and a policy in an ONNX file is
    that file. Anybody else is what pickle would keep of them: the names of their classes and functions, not
    the code of these, and every value they hold. The built-in experts leave out what they remember of a
    drive, and a class of your own does if its ``__getstate__`` does.

    Args:
        driver: a policy, an expert, or what makes one.

    Returns:
        16 hexadecimal digits; None if nothing tells, for a function within a function for example.
    """
    try:
        return _saved(driver) or _pickled(driver)
    except Exception:  # saving and pickling are the classes' own, and raise what they like
        return None


def _pickled(thing: object) -> str:
    """The hash of what pickle keeps of something."""
    kept = io.BytesIO()
    _Pickler(kept, protocol=4).dump(thing)
    return hashlib.sha256(kept.getvalue()).hexdigest()[:16]


class _Pickler(pickle.Pickler):
    """Keeps hashes of what pickles to other bytes each time: sets, policies and torch's tensors."""

    def persistent_id(self, thing: Any) -> object:
        if isinstance(thing, type):
            return None
        if type(thing) in (set, frozenset):
            return type(thing), sorted(map(_pickled, thing))
        if callable(getattr(thing, "detach", None)):
            values = thing.detach().cpu().numpy()
            return str(values.dtype), values.shape, hashlib.sha256(values.tobytes()).hexdigest()
        return _saved(thing)


def _saved(thing: Any) -> str | None:
    """The hash of a policy's files; None for anything else."""
    if isinstance(thing, OnnxPolicy):
        return digest_of(thing.path)
    if not all(callable(getattr(thing, name, None)) for name in ("predict", "save")):
        return None
    with tempfile.TemporaryDirectory() as folder:
        thing.save(Path(folder) / "policy")
        return digest_of(folder)
