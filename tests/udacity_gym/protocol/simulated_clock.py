"""A clock for tests, so that none depends on how fast the machine is."""

import contextlib
import threading

from udacity_gym.protocol.clock import Clock

HANG = 300.0
"""Seconds of real time after which a wait counts as hanging."""


class SimulatedClock(Clock):
    """Time passes only when somebody sleeps by this clock or a test calls `advance`.

    Who waits for an event waits in real time until it happens: the time that a wait may last at most
    never comes by itself.
    """

    def __init__(self):
        self._now = 0.0
        self._lock = threading.Lock()
        self._waiting = []
        self._passes = {}

    def now(self):
        return self._now

    def sleep(self, seconds):
        self.advance(seconds)

    def advance(self, seconds):
        """Let time pass; every wait looks whether its time has come."""
        with self._lock:
            self._now += seconds
            waiting = list(self._waiting)
        for changed in waiting:
            with changed:
                changed.notify_all()

    @contextlib.contextmanager
    def passing(self, when=lambda: True):
        """Let waits of the calling thread last as long as they may: in them, time passes at once.

        Args:
            when: only while this holds.
        """
        thread = threading.get_ident()
        self._passes[thread] = when
        try:
            yield
        finally:
            del self._passes[thread]

    def wait(self, changed, until=None):
        if until is None:
            changed.wait()
            return
        passes = self._passes.get(threading.get_ident())
        if passes is not None and passes():
            self.advance(max(0.0, until - self._now))
            return
        with self._lock:
            if self._now >= until:
                return
            self._waiting.append(changed)
        try:
            assert changed.wait(HANG), "waited in vain"
        finally:
            with self._lock:
                self._waiting.remove(changed)
