"""How interactive learners train policies of any kind: `Fit`, and where such policies are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from algorithms.policies.loading import load_policy
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames
from udacity_gym.errors import CheckpointError, OptionError

Fit: TypeAlias = Callable[[Frames, Any], Any]
"""``fit(frames, policy) -> policy``: trains on all labelled rows so far. ``policy`` is the one of the round
before, or the initial one, or None. The result needs ``predict(observation, ...)`` as in Stable-Baselines3.
With several workers it is pickled."""

SavePolicy: TypeAlias = Callable[[Any, Path], object]
"""``save(policy, folder)``: writes files into an existing empty folder."""

LoadPolicy: TypeAlias = Callable[[Path], Any]
"""``load(folder) -> policy``: reads what `SavePolicy` has written."""

WITH_FIT = ("seed", "memory_budget")
"""Settings of `TrainingConfig` that still have a meaning with a `Fit`."""


class PolicyStore:
    """The policies of the rounds, on disk as checkpoints or, without a folder, in memory.

    Args:
        fit: the function that makes the policies; None stands for networks of this package, which are always
            on disk.
        save: writes a checkpoint; None calls ``policy.save(folder)``.
        load: reads a checkpoint; None is `algorithms.load_policy`.
        keeps_files: whether policies of a ``fit`` are written to disk.
        device: where networks of this package compute once they are read.
    """

    def __init__(
        self,
        fit: Fit | None,
        save: SavePolicy | None,
        load: LoadPolicy | None,
        *,
        keeps_files: bool,
        device: str = "cpu",
    ) -> None:
        for name, function in (("fit", fit), ("save", save), ("load", load)):
            if function is not None and not callable(function):
                raise OptionError(f"{name}={function!r} must be a function")
            if name != "fit" and function is not None and fit is None:
                raise OptionError(f"{name}=... is for policies of a fit=..., and there is none")
        self._fit, self._save, self._load, self._device = fit, save, load, device
        self._keeps_files = keeps_files or fit is None
        self._in_memory: dict[Path, Any] = {}

    def put(self, folder: Path, policy: Any) -> None:
        """Keep a policy; an older one in the folder is replaced.

        Raises:
            OptionError: The policy can't drive, or has no ``save``.
            CheckpointError: Its checkpoint can't be loaded again.
        """
        if self._fit is not None:
            if not callable(getattr(policy, "predict", None)):
                raise OptionError(
                    f"fit returned {policy!r}, which has no predict(observation, ...); return a policy"
                )
            if self._keeps_files:  # the one that is needed next
                self._in_memory.clear()
            self._in_memory[folder] = policy
        if not self._keeps_files:
            return
        if self._fit is None:
            policy.save(folder)
            return
        if self._save is None and not callable(getattr(policy, "save", None)):
            raise OptionError(
                f"{type(policy).__name__} has no save(folder): give save=... and load=..., or no folder"
            )
        part = folder.with_name(f".{folder.name}.part")
        if part.exists():  # of an interruption
            shutil.rmtree(part)
        part.mkdir(parents=True)
        if self._save is None:
            policy.save(part)
        else:
            self._save(policy, part)
        self._check(part)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)

    def _check(self, folder: Path) -> None:
        """Make sure now that an interrupted learner can resume later."""
        try:
            policy = self._read(folder)
        except Exception as error:
            raise CheckpointError(
                f"{folder}: the checkpoint that was just saved can't be loaded ({error}); give load=..., a "
                "function from the folder to the policy"
            ) from error
        if not callable(getattr(policy, "predict", None)):
            raise CheckpointError(f"{folder}: load=... returned {policy!r}, which has no predict")

    def get(self, folder: Path) -> Any:
        """The policy that was put under a folder."""
        return self._in_memory[folder] if folder in self._in_memory else self._read(folder)

    def for_rollouts(self, folder: Path) -> Any:
        """What a rollout, which may be in another process, gets: a folder to load, or the policy itself."""
        return folder if self._fit is None else self.get(folder)

    def _read(self, folder: Path) -> Any:
        return load_policy(folder, device=self._device) if self._load is None else self._load(folder)


def check_fit_options(options: Iterable[str]) -> None:
    """Refuse settings of the training that a ``fit`` replaces.

    Raises:
        OptionError: There is one; the message names it.
    """
    replaced = {field.name for field in fields(TrainingConfig)} - set(WITH_FIT)
    for name in sorted(replaced & set(options)):
        raise OptionError(f"{name} is a setting of the training of networks, which fit=... replaces")
