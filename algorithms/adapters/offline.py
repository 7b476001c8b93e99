"""Recorded steps as transitions for offline reinforcement learning. Needs no other library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.training.data import Frames, Indices
from udacity_gym.errors import RecordingError


@dataclass(frozen=True)
class Transitions:
    """Steps of recordings whose reward and next image are known, in order of time.

    Attributes:
        rows: (m,) int64, rows of the frames.
        next_rows: (m,) int64, the rows after them; the row itself where the environment ended the episode,
            because the image after the last action is not recorded, and no value is taken of it.
        rewards: (m,) float64.
        terminated: (m,) bool, whether the environment ended the episode for what happened.
    """

    rows: Indices
    next_rows: Indices
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]

    @classmethod
    def of(cls, frames: Frames) -> Transitions:
        """Find the transitions of rows of recordings.

        The last step of an episode that was only cut off is left out: what came after it is not known.

        Args:
            frames: the rows; with ``labels="executed"``, so that the actions are those that were rewarded.

        Raises:
            RecordingError: An episode has no rewards.
        """
        rewards, terminated = np.empty(len(frames)), np.zeros(len(frames), np.bool_)
        for number, rows in _rows_of_episodes(frames):
            episode = frames.episodes[number]
            outcomes = episode.outcomes()
            if outcomes is None:
                raise RecordingError(
                    f"{episode.log} has no rewards, which reinforcement learning needs; recordings of "
                    "udacity_gym have them, see udacity_gym.recording.record. For imitation learning, use "
                    "algorithms.BehavioralCloning"
                )
            rewards[rows] = outcomes.rewards[frames.index[rows]]
            terminated[rows] = outcomes.terminated[frames.index[rows]]
        following = np.where(terminated, np.arange(len(frames)), frames.next_rows())
        known = np.flatnonzero(following >= 0)
        return cls(known, following[known], rewards[known], terminated[known])

    def __len__(self) -> int:
        return len(self.rows)


def terminated_rows(frames: Frames) -> NDArray[np.bool_]:
    """(n,) bool, rows with which the environment ended an episode; False where that was not recorded."""
    terminated = np.zeros(len(frames), np.bool_)
    for number, rows in _rows_of_episodes(frames):
        outcomes = frames.episodes[number].outcomes()
        if outcomes is not None:
            terminated[rows] = outcomes.terminated[frames.index[rows]]
    return terminated


def _rows_of_episodes(frames: Frames) -> Iterator[tuple[int, Indices]]:
    """The number and the rows of each episode."""
    for number in np.unique(frames.episode).tolist():
        yield number, np.flatnonzero(frames.episode == number)
