"""Lap times of a drive, also over falls."""

from __future__ import annotations

from typing import Any

from udacity_gym.driving.loop import Step


class LapTimer:
    """Times the laps of a drive, whose clock and laps go on after a fall.

    Attributes:
        lap: laps completed.
        falls: falls since the start.
        last: s of the last lap; None before the first.
        best: s of the quickest lap without a fall; None before the first.
    """

    def __init__(self) -> None:
        self.lap = self.falls = 0
        self.last: float | None = None
        self.best: float | None = None
        self.distance = 0.0
        self._time = self._began = 0.0
        self._fell = False

    def add(self, step: Step) -> None:
        """Take note of a step."""
        if step.decision is None:
            return
        self._time, self.distance = step.time, step.distance
        if step.lap > self.lap:
            self.last = step.time - self._began
            if not self._fell:
                self.best = self.last if self.best is None else min(self.best, self.last)
            self._began, self._fell = step.time, False
        self.lap = max(self.lap, step.lap)
        if step.fell:
            self.falls += 1
            self._fell = True

    def as_json(self) -> dict[str, Any]:
        """What the page shows: laps, falls, and times in s."""
        return {
            "lap": self.lap,
            "falls": self.falls,
            "time": round(self._time - self._began, 3),
            "last": self.last,
            "best": self.best,
        }
