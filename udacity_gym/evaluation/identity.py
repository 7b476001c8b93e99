"""Hashes that distinguish drivers: `identity_of`."""

from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
from pathlib import Path
from types import FunctionType
from typing import Any

from udacity_gym.driving.onnx_policy import OnnxPolicy
from udacity_gym.files import digest_of


def identity_of(driver: object) -> str | None:
    """Hash of a driver's contents, the same in every process.

    The hash of a policy with ``save(folder)`` is that of its checkpoint, see also `in_precision`. The hash of
    a policy in an ONNX file is that of the file. The hash of any other driver covers the names of its
    classes and functions and every value that it holds, but neither code nor the modules that the code is in.
    The built-in experts leave out their state during a drive. Your own class does so if its ``__getstate__``
    leaves it out.

    Args:
        driver: a policy, an expert, or a function that makes one.

    Returns:
        16 hexadecimal digits; None if the driver can be neither saved nor pickled, such as a function within
        a function.
    """
    try:
        return saved(driver) or _described(driver)
    except Exception:  # saving and pickling are the classes' own, and raise what they like
        return None


def _described(thing: object) -> str:
    """The hash of what pickle keeps of an object, except for names of modules."""
    description = io.BytesIO()
    _Describer(description, protocol=4).dump(thing)
    return digits(description.getvalue())


class _Describer(pickle.Pickler):
    """Pickles classes and functions by name alone, and everything whose pickle varies by a hash."""

    def persistent_id(self, thing: Any) -> object:
        if _has_name(thing):
            return "named", thing.__qualname__
        if type(thing) in (set, frozenset):
            return type(thing), sorted(map(_described, thing))
        return tensor(thing) or saved(thing)


def _has_name(thing: Any) -> bool:
    """Whether pickle writes an object as the name of a class or function, and nothing else."""
    if isinstance(thing, (type, FunctionType)):
        return "<" not in thing.__qualname__  # pickle refuses lambdas and local ones
    compiled = callable(thing) and hasattr(thing, "__qualname__")
    return compiled and isinstance(thing.__reduce_ex__(4), str)


def tensor(thing: Any) -> tuple[str, Any, str] | None:
    """Type, shape and hash of a tensor of torch; None for anything else."""
    if isinstance(thing, type) or not callable(getattr(thing, "detach", None)):
        return None
    values = thing.detach().cpu().numpy()
    return str(values.dtype), values.shape, hashlib.sha256(values.tobytes()).hexdigest()


def saved(thing: Any) -> str | None:
    """The hash of a policy's files; None for anything else."""
    if isinstance(thing, OnnxPolicy):
        return digest_of(thing.path)
    if isinstance(thing, type) or not all(
        callable(getattr(thing, name, None)) for name in ("predict", "save")
    ):
        return None
    with tempfile.TemporaryDirectory() as folder:
        thing.save(Path(folder) / "policy")
        return in_precision(digest_of(folder), _precision_of(thing))


def _precision_of(policy: Any) -> str | None:
    """Precision of a policy, or of an ensemble's members; None if it has no choice of it."""
    members = getattr(policy, "members", (policy,))
    return "+".join(sorted({str(m.precision) for m in members if hasattr(m, "precision")})) or None


def in_precision(identity: str | None, precision: str | None) -> str | None:
    """Identity of a policy that computes in a precision, in which it drives differently.

    Args:
        identity: hash of the policy's files; None if it has none.
        precision: such as "bfloat16"; None is "float32", in which the hash stays as it is.
    """
    if identity is None or precision in (None, "float32"):
        return identity
    return digits(f"{identity} {precision}".encode())


def digits(content: bytes) -> str:
    """The first 16 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]
