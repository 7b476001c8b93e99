"""The clock that everything on the wire reads and waits by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Clock:
    """The machine's monotonic clock.

    Servers, simulators and watchdogs read the time and wait by it alone, so that a subclass can simulate it.
    """

    def now(self) -> float:
        """Read the time: seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        time.sleep(seconds)

    def wait(self, changed: threading.Condition, until: float | None = None) -> None:
        """Wait until a condition is notified or a time has come.

        Args:
            changed: the condition; the caller holds its lock.
            until: time by this clock; None waits for the notification alone.
        """
        remaining = None if until is None else until - self.now()
        if remaining is None or remaining > 0:
            changed.wait(remaining)

    def wait_for(self, changed: threading.Condition, predicate: Callable[[], bool], until: float) -> bool:
        """Wait until a predicate holds or a time has come.

        Args:
            changed: notified when the predicate may have changed; the caller holds its lock.
            predicate: what to wait for.
            until: time by this clock.

        Returns:
            Whether the predicate holds.
        """
        while not predicate():
            if self.now() >= until:
                return False
            self.wait(changed, until)
        return True
