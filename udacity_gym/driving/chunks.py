"""Chunks of actions: networks that predict several steps at once, and how a policy drives with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_integer, check_number
from udacity_gym.driving.policy_inputs import ObservationError
from udacity_gym.errors import OptionError

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Chunks:
    """How many steps a network predicts, and how a policy drives with them (Zhao et al. 2023, section IV-A).

    Attributes:
        size: number of actions that the network predicts, the present one first; 1 predicts no future.
        action_steps: number of actions that are executed from a chunk before the network runs again. 1 runs
            it at every step and averages all predictions for the present step (temporal ensembling).
        ensemble_decay: weights of that average are ``exp(-ensemble_decay * i)``, the oldest prediction has i
            = 0. A negative number prefers new predictions. None takes the newest prediction alone.
    """

    size: int = 1
    action_steps: int = 1
    ensemble_decay: float | None = 0.01

    def __post_init__(self) -> None:
        for name in ("size", "action_steps"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), 1))
        if self.ensemble_decay is not None:
            decay = check_number("ensemble_decay", self.ensemble_decay, -100.0, 100.0)
            object.__setattr__(self, "ensemble_decay", decay)
        if self.action_steps > self.size:
            raise OptionError(
                f"action_steps={self.action_steps} must not be above chunk_size={self.size}: a chunk has no "
                "more actions"
            )

    @property
    def remembers(self) -> bool:
        """Whether a policy keeps chunks from step to step."""
        return self.size > 1 and (self.action_steps > 1 or self.ensemble_decay is not None)

    def resume(self, state: Sequence[Any], cars: int, actions: int, begins: Any = None) -> ChunkState:
        """The chunks to drive with, from the state of a policy.

        Args:
            state: the arrays of a `ChunkState`; empty at first.
            cars: number of cars.
            actions: number of actions of a step.
            begins: (n,) true for cars whose episode begins, or one bool for all; None if none does.

        Raises:
            ObservationError: The state is of another number of cars.
        """
        new = self.start(cars, actions)
        if not state:
            return new
        before = ChunkState(*map(np.asarray, state))
        before.check(new)
        return before if begins is None else before.restarted(begins)

    def start(self, cars: int, actions: int) -> ChunkState:
        """The state before an episode."""
        kept = self.size if self.action_steps == 1 else 1
        chunks = np.zeros((cars, kept, self.size, actions), np.float32)
        return ChunkState(chunks, np.zeros(cars, np.int64))

    def needs_chunk(self, state: ChunkState) -> NDArray[np.bool_]:
        """(n,) whether the network runs for a car in this step."""
        if self.action_steps == 1:
            return np.ones(len(state.count), np.bool_)
        needed: NDArray[np.bool_] = state.count % self.action_steps == 0
        return needed

    def step(
        self, state: ChunkState, chunks: Floats, renewed: NDArray[np.bool_]
    ) -> tuple[Floats, ChunkState]:
        """The actions of this step, and the state after it.

        Args:
            state: the state before.
            chunks: (m, size, actions) new chunks.
            renewed: (n,) the cars that they are for, see `needs_chunk`.

        Returns:
            (n, actions) float32 actions, and the new state.
        """
        kept, count = state.chunks.copy(), state.count
        if self.action_steps > 1:
            kept[renewed, 0] = chunks
            action: Floats = kept[np.arange(len(kept)), 0, count % self.action_steps]
            return action, ChunkState(kept, count + 1)
        kept[:, 1:] = state.chunks[:, :-1]
        kept[:, 0] = chunks
        ages = np.arange(self.size)
        predictions = kept[:, ages, ages]  # (n, size, actions): what was predicted `age` steps ago
        known = np.minimum(count + 1, self.size)[:, None]
        order = known - 1 - ages  # 0 for the oldest
        decay = self.ensemble_decay or 0.0
        weights = np.where(order >= 0, np.exp(-decay * np.maximum(order, 0)), 0.0)
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return (predictions * weights[..., None]).sum(axis=1), ChunkState(kept, count + 1)


@dataclass(frozen=True)
class ChunkState:
    """Chunks that a policy keeps for each car.

    Attributes:
        chunks: (n, kept, size, actions) float32, the newest first.
        count: (n,) int64 steps since the episode began.
    """

    chunks: Floats
    count: NDArray[np.int64]

    def restarted(self, begins: Any) -> ChunkState:
        """The state with the cars forgotten whose episode begins: one bool for all, or (n,)."""
        mask = np.broadcast_to(np.asarray(begins, np.bool_), self.count.shape)
        return ChunkState(
            np.where(mask[:, None, None, None], np.float32(0), self.chunks), np.where(mask, 0, self.count)
        )

    def check(self, expected: ChunkState) -> None:
        """Check that it is of as many cars as expected.

        Raises:
            ObservationError: It is not.
        """
        if self.chunks.shape != expected.chunks.shape or self.count.shape != expected.count.shape:
            raise ObservationError(
                f"the state has chunks of shape {self.chunks.shape}, but {len(expected.count)} cars need "
                f"{expected.chunks.shape}; begin with state=None"
            )
