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
    """What counts of a step, with the totals of the round up to it."""

    episode: int
    by_policy: bool
    begin: float  # s
    end: float  # s
    metres: float
    reason: str | None
    labels: int = 0
    policy: int = 0
    takeovers: int = 0
    last_correction: int | None = None


_START = _Frame(-1, False, 0.0, 0.0, math.nan, None)


class EpisodeCounter:
    """Counts the steps of a round; the last ones can be discarded again.

    Idle steps of a human, see `Decision`, count as labels once the human touches the controls again.

    Example:
        >>> counter = EpisodeCounter()                                              # doctest: +SKIP
        >>> for step in drive(env, driver, steps=1000):
        ...     counter.add(step)
        >>> counter.episodes()
    """

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._is_split = True
        self._idle_labels = 0  # the last frames, which are labels if the human goes on

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def _last(self) -> _Frame:
        return self._frames[-1] if self._frames else _START

    def add(self, step: Step) -> None:
        """Count a step in which somebody drove."""
        decision = step.decision
        assert decision is not None, "a paused step has no frame"
        first = step.starts_episode or self._is_split
        self._is_split = False
        if first:
            self._idle_labels = 0
        if decision.confirms_idle:
            self._confirm_idle_labels()
        if not decision.is_idle:
            self._idle_labels = 0
        elif decision.is_label:
            self._idle_labels += 1
        last, by_policy = self._last, decision.driver == POLICY
        begins_correction = not by_policy and (first or last.by_policy)
        self._frames.append(
            _Frame(
                last.episode + first,
                by_policy,
                float(step.info["time"]),
                float(step.next_info["time"]),
                float(step.next_info.get("progress", math.nan)),
                step.reason,
                last.labels + (decision.is_label and not decision.is_idle),
                last.policy + by_policy,
                last.takeovers + (begins_correction and not first),  # at the start, nobody is taken over from
                len(self._frames) if begins_correction else last.last_correction,
            )
        )

    def _confirm_idle_labels(self) -> None:
        first = len(self._frames) - self._idle_labels
        for i, frame in enumerate(self._frames[first:]):
            self._frames[first + i] = frame._replace(labels=frame.labels + i + 1)

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
        return self._last.labels

    @property
    def policy(self) -> int:
        """Frames that the policy drove."""
        return self._last.policy

    @property
    def takeovers(self) -> int:
        """Number of times that the expert took the wheel from the policy."""
        return self._last.takeovers

    @property
    def last_correction(self) -> int | None:
        """Number of the frame, from 0, with which the last correction begins; None if there was none."""
        return self._last.last_correction

    def episodes(self) -> list[EpisodeSummary]:
        """Results of the episodes so far, in their order."""
        summaries, before = [], _START
        for _, group in itertools.groupby(self._frames, key=lambda frame: frame.episode):
            frames = list(group)
            first, last = frames[0], frames[-1]
            summaries.append(
                EpisodeSummary(
                    frames=len(frames),
                    labels=last.labels - before.labels,
                    policy=last.policy - before.policy,
                    takeovers=last.takeovers - before.takeovers,
                    metres=last.metres,
                    seconds=last.end - first.begin,
                    end=last.reason or "frames",
                )
            )
            before = last
        return summaries
