"""Results of the episodes of a round: `EpisodeSummary`, and `EpisodeCounter`, which counts them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from udacity_gym.driving.decision import POLICY
from udacity_gym.driving.loop import Step


@dataclass(frozen=True)
class EpisodeSummary:
    """Results of an episode of a round.

    Attributes:
        frames: recorded rows.
        labels: recorded rows that the expert labelled.
        policy: recorded rows that the policy drove.
        takeovers: number of times that the expert took the wheel from the policy.
        metres: metres driven along the track; NaN if the environment does not report progress.
        seconds: seconds driven.
        end: why the episode ended: "off_road", "stuck", another reason of the environment, or "frames" if
            there were enough frames.
    """

    frames: int
    labels: int
    policy: int
    takeovers: int
    metres: float
    seconds: float
    end: str

    @property
    def fell(self) -> bool:
        """Whether the episode ended because the car left the road or was stuck."""
        return self.end in ("off_road", "stuck", "terminated")


class _Frame(NamedTuple):
    """What counts of a step."""

    episode: int
    is_label: bool
    by_policy: bool
    begins_correction: bool  # somebody else drives, and did not in the step before
    is_takeover: bool  # a correction that does not begin with its episode
    metres: float
    begin: float  # s
    end: float  # s
    reason: str | None


class EpisodeCounter:
    """Counts the steps of a round; the last ones can be discarded again.

    Example:
        >>> counter = EpisodeCounter()                                              # doctest: +SKIP
        >>> for step in drive(env, driver, steps=1000):
        ...     counter.add(step)
        >>> counter.episodes()
    """

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._episode = -1
        self._is_split = True

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, step: Step) -> None:
        """Count a step in which somebody drove."""
        decision = step.decision
        assert decision is not None, "a paused step has no frame"
        first = step.starts_episode or self._is_split
        self._episode += first
        self._is_split = False
        by_policy = decision.driver == POLICY
        begins = not by_policy and (first or self._frames[-1].by_policy)
        self._frames.append(
            _Frame(
                self._episode,
                decision.is_label,
                by_policy,
                begins,
                begins and not first,
                float(step.next_info.get("progress", math.nan)),
                float(step.info["time"]),
                float(step.next_info["time"]),
                step.reason,
            )
        )

    def split(self) -> None:
        """Let the next step begin another episode."""
        self._is_split = True

    def discard_last(self, frames: int) -> None:
        """Discard the last frames; the next step begins another episode."""
        del self._frames[len(self._frames) - frames :]
        self.split()

    @property
    def labels(self) -> int:
        """Frames that the expert labelled."""
        return sum(frame.is_label for frame in self._frames)

    @property
    def policy(self) -> int:
        """Frames that the policy drove."""
        return sum(frame.by_policy for frame in self._frames)

    @property
    def takeovers(self) -> int:
        """Number of times that the expert took the wheel from the policy."""
        return sum(frame.is_takeover for frame in self._frames)

    @property
    def last_correction(self) -> int | None:
        """Number of the frame, from 0, with which the last correction begins; None if there was none."""
        numbers = range(len(self._frames) - 1, -1, -1)
        return next((i for i in numbers if self._frames[i].begins_correction), None)

    def episodes(self) -> list[EpisodeSummary]:
        """Results of the episodes so far, in their order."""
        groups = itertools.groupby(self._frames, key=lambda frame: frame.episode)
        return [_summary(list(frames)) for _, frames in groups]


def _summary(frames: list[_Frame]) -> EpisodeSummary:
    last = frames[-1]
    return EpisodeSummary(
        frames=len(frames),
        labels=sum(frame.is_label for frame in frames),
        policy=sum(frame.by_policy for frame in frames),
        takeovers=sum(frame.is_takeover for frame in frames),
        metres=last.metres,
        seconds=last.end - frames[0].begin,
        end=last.reason or "frames",
    )
