"""Who drives and who watches: one page has the wheel, any number watch. Also the page as an input device."""

from __future__ import annotations

import threading

from udacity_gym.cockpit.link import NEUTRAL, Clock, Controls, Limits, Link
from udacity_gym.driving.human import KeyWheel, Reading


class Seats:
    """Who has the wheel. Thread-safe: connections come and go in one thread, the car drives in another.

    Attributes:
        clock: of all connections.
        limits: of all connections.
    """

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.clock, self.limits = clock, limits
        self._lock = threading.Lock()
        self._links: dict[int, Link] = {}
        self._driver: int | None = None
        self._number = 0

    def join(self) -> int:
        """A page connects; it drives if nobody else does.

        Returns:
            Its number.
        """
        with self._lock:
            self._number += 1
            self._links[self._number] = Link(self.clock, self.limits)
            if self._driver is None:
                self._driver = self._number
            return self._number

    def leave(self, page: int) -> None:
        """A page disconnects; if it drove, nobody drives."""
        with self._lock:
            self._links.pop(page, None)
            if self._driver == page:
                self._driver = None

    def hand_over(self, page: int, to: int | None = None) -> bool:
        """Give the wheel to a page.

        Args:
            page: who asks: the driver gives it away; anybody takes it while nobody has it or the
                connection of whoever has it is lost.
            to: who gets it; None is who asks.

        Returns:
            Whether ``to`` has it now.
        """
        with self._lock:
            to = page if to is None else to
            driver = None if self._driver is None else self._links[self._driver]
            if to in self._links and (self._driver == page or driver is None or driver.is_lost()):
                self._driver = to
                for link in self._links.values():
                    link.release()
            return self._driver == to

    @property
    def driver(self) -> int | None:
        """Number of the page that drives."""
        return self._driver

    @property
    def pages(self) -> list[int]:
        """Numbers of all connected pages."""
        with self._lock:
            return list(self._links)

    def send(self, page: int) -> int:
        """Stamp an image for a page, see `Link.send`."""
        with self._lock:
            return self._links[page].send()

    def show(self, page: int, stamp: int) -> None:
        """A page has drawn an image, see `Link.show`."""
        with self._lock:
            self._links[page].show(stamp)

    def heard(self, page: int) -> None:
        """A page gave a sign of life."""
        with self._lock:
            self._links[page].heard()

    def command(self, page: int, stamp: int, sequence: int, controls: Controls) -> None:
        """A page steers; what the pages of watchers send is only a sign of life."""
        with self._lock:
            if page == self._driver:
                self._links[page].command(stamp, sequence, controls)
            else:
                self._links[page].heard()

    def release(self) -> None:
        """Forget what is held and was tapped, until the pages say it anew."""
        with self._lock:
            for link in self._links.values():
                link.release()

    def controls(self) -> tuple[Controls, int]:
        """The driver's command in force, and its number."""
        with self._lock:
            link = None if self._driver is None else self._links[self._driver]
            return (NEUTRAL, 0) if link is None else (link.controls(), link.sequence)

    def controls_active(self) -> bool:
        """Whether the driver's hands are at the controls, taking no notice of it."""
        with self._lock:
            return self._driver is not None and self._links[self._driver].is_active()

    def trouble(self) -> str | None:
        """Why driving is locked, None if it is not."""
        with self._lock:
            return "nobody has the wheel" if self._driver is None else self._links[self._driver].trouble()

    def is_lost(self) -> bool:
        """Whether whoever drives is gone or silent."""
        with self._lock:
            return self._driver is None or self._links[self._driver].is_lost()

    def round_trip(self, page: int) -> float:
        """Seconds from sending an image to a page until it was drawn; NaN before the first."""
        with self._lock:
            return self._links[page].round_trip


class PageDevice:
    """The page as an input device, see `udacity_gym.driving.human.Device`.

    Held keys turn the wheel as Unity's do; mouse, finger and gamepad set it.

    Attributes:
        sequence: number of the command that was read last.
    """

    def __init__(self, seats: Seats) -> None:
        self.sequence = 0
        self._seats = seats
        self._wheel = KeyWheel()
        self._time: float | None = None
        self._buttons: set[str] = set()

    def press(self, button: str) -> None:
        """Press one of `udacity_gym.driving.human.BUTTONS`."""
        self._buttons.add(button)

    def read(self, time: float) -> Reading:
        """Say what is done at the page, see `udacity_gym.driving.human.Device`."""
        dt = 0.0 if self._time is None else max(0.0, time - self._time)
        self._time = time
        controls, self.sequence = self._seats.controls()
        keys = controls.keys
        steering = self._wheel.turn(float("right" in keys) - float("left" in keys), dt)
        if controls.steering is not None:
            steering = self._wheel.steering = controls.steering
        buttons, self._buttons = frozenset(self._buttons), set()
        return Reading(
            time,
            steering,
            max(float("up" in keys), controls.throttle),
            max(float("down" in keys), controls.brake),
            buttons,
            controls.active,
        )
