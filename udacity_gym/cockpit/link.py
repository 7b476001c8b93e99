"""The connection to whoever drives: how old commands may be, and when driving is locked.

The server stamps each image with its own clock. The page sends back the stamp of the image that it shows,
with every command and when it has drawn an image. So all ages are differences of one clock, the server's, and
include both ways over the network, and drawing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from udacity_gym.checks import check_number

Clock = Callable[[], float]
"""Gives the time in s; only differences count."""


@dataclass(frozen=True)
class Limits:
    """Limits of remote driving, all in s.

    Attributes:
        command: age of the image that a command answers to, above which the command is neutral.
        round_trip: time from sending an image until it was drawn, above which driving is locked.
        frozen: age of the oldest image that was sent and is not drawn yet, above which driving is locked.
        lost: silence after which the connection counts as lost, and the car is paused.
    """

    command: float = 0.3
    round_trip: float = 0.3
    frozen: float = 0.3
    lost: float = 1.0

    def __post_init__(self) -> None:
        for name in ("command", "round_trip", "frozen", "lost"):
            check_number(name, getattr(self, name), positive=True)


@dataclass(frozen=True, slots=True)
class Controls:
    """What somebody does at the page.

    Attributes:
        keys: held keys, of "left", "right", "up" and "down".
        steering: [-1, 1] of mouse, finger or gamepad; None if none of them steers.
        throttle: [0, 1] of a trigger or a finger.
        brake: [0, 1] of a trigger or a finger.
    """

    keys: frozenset[str] = frozenset()
    steering: float | None = None
    throttle: float = 0.0
    brake: float = 0.0

    @property
    def active(self) -> bool:
        """Whether somebody's hands are at the wheel or the pedals."""
        return bool(self.keys) or self.steering is not None or self.throttle > 0.0 or self.brake > 0.0


NEUTRAL = Controls()
"""Nobody steers, nobody accelerates, nobody brakes."""


class Link:
    """The connection to one page; not thread-safe, its user locks.

    Attributes:
        limits: the limits.
        round_trip: s from sending the image that was drawn last until that was known; NaN before the first.
        sequence: number of the command in force, by which the page measures from key to image.
    """

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.limits = limits
        self.round_trip = math.nan
        self.sequence = 0
        self._clock = clock
        self._unshown: deque[int] = deque(maxlen=64)
        self._newest = 0
        self._shown = 0
        self._heard = clock()
        self._controls, self._controls_stamp = NEUTRAL, 0
        self._tapped: frozenset[str] = frozenset()

    def now(self) -> int:
        """Stamp of this moment: ms of the server's clock, above 0."""
        return round(self._clock() * 1000.0) + 1

    def send(self) -> int:
        """Note that an image is sent.

        Returns:
            The stamp to send with it.
        """
        self._newest = max(self.now(), self._newest + 1)  # stamps differ
        self._unshown.append(self._newest)
        return self._newest

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = self._clock()

    def show(self, stamp: int) -> None:
        """Note that the page has drawn an image; ``stamp`` is one of `send`'s."""
        self.heard()
        stamp = min(stamp, self._newest)
        if stamp <= self._shown:
            return
        self._shown = stamp
        while self._unshown and self._unshown[0] <= stamp:
            self._unshown.popleft()
        self.round_trip = max(0.0, (self.now() - stamp) / 1000.0)

    def command(self, stamp: int, sequence: int, controls: Controls) -> None:
        """Take a command, which answers to the image of a stamp."""
        self.heard()
        stamp = min(stamp, self._newest)
        if sequence < self.sequence or stamp < self._controls_stamp:
            return  # overtaken by a later one
        self._tapped |= controls.keys
        self._controls, self._controls_stamp, self.sequence = controls, stamp, sequence

    def release(self) -> None:
        """Forget the command in force: somebody else gets the wheel."""
        self._controls, self._tapped = NEUTRAL, frozenset()

    def is_active(self) -> bool:
        """Whether the command in force is more than neutral; taps stay."""
        if self.trouble() is not None or self._age(self._controls_stamp) > self.limits.command:
            return False
        return self._controls.active or bool(self._tapped)

    def controls(self) -> Controls:
        """The command in force; neutral if it is too old or driving is locked."""
        tapped, self._tapped = self._tapped, frozenset()
        if self.trouble() is not None or self._age(self._controls_stamp) > self.limits.command:
            return NEUTRAL
        controls = self._controls
        if tapped <= controls.keys:
            return controls
        # A key that was pressed and let go between two steps counts as held for one of them.
        return Controls(controls.keys | tapped, controls.steering, controls.throttle, controls.brake)

    def trouble(self) -> str | None:
        """Why driving is locked, None if it is not."""
        if self.is_lost():
            return "connection lost"
        if self._unshown and self._age(self._unshown[0]) > self.limits.frozen:
            return f"image frozen for {1000 * self._age(self._unshown[0]):.0f} ms"
        if self.round_trip > self.limits.round_trip:
            return f"connection slow, {1000 * self.round_trip:.0f} ms there and back"
        return None

    def is_lost(self) -> bool:
        """Whether nothing was heard for too long."""
        return self._clock() - self._heard > self.limits.lost

    def _age(self, stamp: int) -> float:
        """Seconds since a stamp."""
        return (self.now() - stamp) / 1000.0 if stamp else math.inf
