"""Identities as versions before 0.2 wrote them, so that suites begun with these can be resumed.

Those versions hashed the pickle of a driver, which has the paths of modules in it. `legacy_identity_of` makes
the same pickle with today's classes: the tables below say where each class used to be, and what it kept.

Whoever moves or changes a class that drivers consist of adds to the tables; ``tests/test_legacy.py`` tells.
"""

from __future__ import annotations

import io
import json
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from udacity_gym.evaluation.identity import digits, saved, tensor
from udacity_gym.files import digest_of

MODULES: Mapping[str, str] = {
    "algorithms.policies.ensemble": "algorithms.ensemble",
    "algorithms.policies.losses": "algorithms.losses",
    "algorithms.policies.network_policy": "algorithms.policy",
    "algorithms.policies.networks": "algorithms.networks",
    "algorithms.policies.preprocessing": "algorithms.preprocessing",
    "udacity_gym.driving.driver": "udacity_gym.experts.base",
    "udacity_gym.driving.driver.PolicyExpert": "udacity_gym.experts.policy",
    "udacity_gym.driving.human": "udacity_gym.experts.human",
    "udacity_gym.driving.onnx_policy": "udacity_gym.onnx_policy",
    "udacity_gym.driving.speed": "udacity_gym.wrappers",
    "udacity_gym.driving.takeover": "udacity_gym.experts.takeover",
    "udacity_gym.world.physics.car": "udacity_gym.world.car",
    "udacity_gym.world.track.track": "udacity_gym.world.track",
}
"""Where classes and functions used to be: {today's module, or class with its module: old module}."""

NAMES: Mapping[str, str] = {}
"""What classes and functions used to be called: {today's class with its module: old name}."""

STATES: Mapping[str, Mapping[str, str]] = {}
"""What objects used to keep: {today's class with its module: {old attribute: today's attribute}}, in the old
order, for classes whose attributes have changed."""

POLICY_VERSION = 2
"""Version of a policy's checkpoint when it was hashed."""
POLICY_KEYS: Mapping[str, str] = {}
"""What keys of ``policy.json`` used to be called: {today's key: old key}, at any depth."""


def legacy_identity_of(driver: object) -> str | None:
    """The identity that versions before 0.2 gave to a driver, see `udacity_gym.evaluation.identity`.

    Returns:
        16 hexadecimal digits; None if the driver can be neither saved nor pickled.
    """
    try:
        return _saved(driver) or _pickled(driver)
    except Exception:  # saving and pickling are the classes' own, and raise what they like
        return None


def _pickled(thing: object) -> str:
    kept = io.BytesIO()
    _Pickler(kept, protocol=4).dump(thing)
    return digits(kept.getvalue())


class _Pickler(pickle._Pickler):
    """Writes the same bytes as `pickle.Pickler`, with the old places, names and attributes of classes."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self._modules: dict[str, str] = {}

    def persistent_id(self, thing: Any) -> object:
        if isinstance(thing, type):
            return None
        if type(thing) in (set, frozenset):
            return type(thing), sorted(map(_pickled, thing))
        return tensor(thing) or _saved(thing)

    def reducer_override(self, thing: Any) -> Any:
        kept = None if isinstance(thing, type) else STATES.get(_path(type(thing)))
        if kept is None:
            return NotImplemented
        function, arguments, state, *rest = thing.__reduce_ex__(4)
        return function, arguments, {old: state[new] for old, new in kept.items()}, *rest

    def save_global(self, thing: Any, name: str | None = None) -> None:
        """Write a class or function as its module and name."""
        called = name or thing.__qualname__
        module = getattr(thing, "__module__", None)
        if module is None or "<" in called:
            super().save_global(thing, name)  # type: ignore[misc]
            return
        path = f"{module}.{called}"
        module = MODULES.get(path, MODULES.get(module, module))
        # Classes of one module share the string with its name, which pickle writes once.
        self.save(self._modules.setdefault(module, module))  # type: ignore[attr-defined]
        self.save(NAMES.get(path, called))  # type: ignore[attr-defined]
        self.write(pickle.STACK_GLOBAL)  # type: ignore[attr-defined]
        self.memoize(thing)  # type: ignore[attr-defined]

    dispatch = {  # noqa: RUF012
        **pickle._Pickler.dispatch,
        FunctionType: save_global,  # type: ignore[dict-item]
    }


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _saved(thing: Any) -> str | None:
    """The hash that a policy's files had in the old version of their format."""
    if isinstance(thing, type) or not all(
        callable(getattr(thing, name, None)) for name in ("predict", "save")
    ):
        return saved(thing)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "policy"
        thing.save(folder)
        if (folder / "policy.json").is_file():
            _write_as_before(folder)
        return digest_of(name)


def _write_as_before(folder: Path) -> None:
    """Rewrite ``policy.json`` of a checkpoint, and of an ensemble's members, as the old version wrote it."""
    path = folder / "policy.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    if "members" in description:
        names = []
        for i, name in enumerate(description["members"]):
            _write_as_before(folder / name)
            names.append(f"member-{i}-{digest_of(folder / name)}")
            (folder / name).rename(folder / names[-1])
        description["members"] = names
    else:
        description = {**_with_old_keys(description), "version": POLICY_VERSION}
    path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _with_old_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {POLICY_KEYS.get(name, name): _with_old_keys(item) for name, item in value.items()}
    return [_with_old_keys(item) for item in value] if isinstance(value, list) else value
