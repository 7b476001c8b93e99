"""Policies from files, and drivers by name: `load_policy` and `load_driver`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.installation import hidden_package

GROUP = "udacity_gym.policy_loaders"
"""Entry-point group of what loads policies. The name of an entry point says what it loads: the suffix of a
file, such as ".keras", or a file that marks a folder, such as "policy.json". The object is a function
``load(path) -> policy``, where a policy has ``predict``. One that can compute on several devices has
``to(device, precision) -> policy``. So this package loads policies of any library without importing it."""

_PYTORCH = (
    "is a file of PyTorch. It holds weights, or code, which is never run here. It does not say how images "
    "are prepared and what the outputs mean. Say that in Python, and export to ONNX: "
    'algorithms.NetworkPolicy(network, algorithms.Preprocessing(...)).export("model.onnx"). A .pt that '
    "udacity-gym exported is for other programs: export to .onnx"
)
ADVICE = {
    ".pt": _PYTORCH,
    ".pth": _PYTORCH,
    ".ckpt": _PYTORCH,
    ".safetensors": "holds weights only; give the folder of the checkpoint that it is a part of",
    ".json": "is a description; give the model's file, or the folder of the checkpoint that it is a part of",
    ".zip": "looks like a model of Stable-Baselines3, a pickle; load it in Python only: PPO.load(...)",
}
"""What to do about files that can't be loaded, by suffix."""

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""A folder for each policy that comes with this package."""

PLACES = (".", "policy", "training/policy")
"""Folders in which a marker is looked for: the checkpoint itself, that of a training, that of a demo."""


def pretrained_names() -> list[str]:
    """Names of the policies that come with this package, such as "pretrained:lake"."""
    return sorted(f"pretrained:{path.parent.name}" for path in PRETRAINED.glob("*/policy.json"))


def policy_path(name: str | Path) -> Path:
    """The file or folder of a policy.

    Args:
        name: its path; "pretrained:NAME" for a policy of this package; or "hf:USER/REPOSITORY" for one on the
            Hugging Face Hub, which is downloaded at the first use.

    Raises:
        CheckpointError: This package has no policy of that name, or the Hub has none.
        MissingDependencyError: huggingface_hub is not installed.
    """
    kind, colon, rest = str(name).partition(":")
    if colon and kind == "pretrained":
        if str(name) not in pretrained_names():
            known = ", ".join(pretrained_names())
            raise CheckpointError(f"there is no policy {name}; this package has {known}")
        return PRETRAINED / rest
    if colon and kind == "hf":
        from udacity_gym.hub import download_policy

        return download_policy(rest)
    return Path(name)


def load_policy(path: str | Path, *, device: str | None = None, precision: str | None = None) -> Any:
    """Load a policy from a file or a folder.

    Args:
        path: an ONNX file, a checkpoint folder or the folder of its training, or whatever else an installed
            package can load, see `GROUP`; or a name that `policy_path` knows, such as "pretrained:lake".
        device: where it computes: "auto" (the best of this machine), "cpu", "cuda", "cuda:1", "mps"; None
            leaves it where its loader puts it, for policies of this project the CPU.
        precision: arithmetic of its network, "float32" or "bfloat16"; None is its loader's, here "float32".

    Returns:
        The policy; it has ``predict``.

    Raises:
        CheckpointError: There is nothing at the path that can be loaded.
        OptionError: There is no such device or precision, or the policy has no choice of them.
    """
    path = policy_path(path)
    return _moved(_load(path), path, device, precision)


def _moved(policy: Any, path: Path, device: str | None, precision: str | None) -> Any:
    """A policy on a device and in a precision, where they are given."""
    if device is None and precision is None:
        return policy
    if not callable(getattr(policy, "to", None)):
        raise OptionError(
            f"{path}: {type(policy).__name__} has no choice of device and precision, since it has no "
            "to(device, precision); leave both out"
        )
    return policy.to(device, precision)


def _load(path: Path) -> Any:
    """Load what is at a path, by the loader that it is for."""
    if not path.exists():
        raise CheckpointError(
            f"there is no policy at {path}: no such folder or file; give the folder of a checkpoint or its "
            "training, or an ONNX file"
        )
    if path.suffix == ".onnx":
        from udacity_gym.driving.onnx_policy import OnnxPolicy

        return OnnxPolicy(path)
    loader = next(_loaders(path), None)
    if loader is None:
        if path.is_file() and path.suffix in ADVICE:
            raise CheckpointError(f"{path} {ADVICE[path.suffix]}")
        kinds = ", ".join(sorted({".onnx", *(entry.name for entry in entry_points(group=GROUP))}))
        raise CheckpointError(
            f"there is no policy at {path}: neither an ONNX file nor a folder with a checkpoint in it; what "
            f"can be loaded here is {kinds}"
        )
    try:
        load = loader.load()
    except (ImportError, AttributeError) as error:
        problem = hidden_package(loader.module)
        if problem is None:
            raise
        raise CheckpointError(
            f"{path} is loaded by {loader.value}, which can't be imported: {problem}"
        ) from error
    return load(path)


def _loaders(path: Path) -> Iterator[EntryPoint]:
    """The loaders that a path is for, the most specific first."""
    loaders = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    yield from (entry for entry in loaders if entry.name.startswith(".") and entry.name == path.suffix)
    for place in PLACES:
        yield from (entry for entry in loaders if (path / place / entry.name).is_file())


def load_driver(name: str | Path, *, device: str | None = None, precision: str | None = None) -> Any:
    """A policy or an expert, by its path or name.

    Args:
        name: of an expert, see `udacity_gym.experts.EXPERTS`; or the path of a policy, see
            `load_policy`.
        device: where a policy computes, see `load_policy`; an expert needs none.
        precision: arithmetic of a policy, see `load_policy`.

    Raises:
        CheckpointError: There is neither.
        OptionError: See `load_policy`.
    """
    path = policy_path(name)
    if not path.exists():
        from udacity_gym.experts import EXPERTS, make_expert

        if str(name) in EXPERTS:
            return make_expert(str(name))
        raise CheckpointError(unknown_driver(name))
    return load_policy(path, device=device, precision=precision)


def unknown_driver(name: str | Path) -> str:
    """Message for something that is neither a path nor the name of an expert, with the closest name."""
    from udacity_gym.experts import EXPERTS

    close = difflib.get_close_matches(str(name), EXPERTS.names(), n=1)
    question = f"; did you mean {close[0]!r}?" if close else "."
    return (
        f"{name} is neither the path of a policy, there is no such folder or file, nor the name of an "
        f"expert{question} There are the experts {', '.join(EXPERTS.names())}; or give the folder of a "
        f"checkpoint or of its training, an ONNX file, or {' or '.join(pretrained_names())}"
    )
