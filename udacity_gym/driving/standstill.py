"""`Standstill` notices when a car no longer gets any further."""

from __future__ import annotations

STUCK_SECONDS = 5.0
"""s without getting any further after which the car is stuck."""
STUCK_METRES = 1.0
"""m along the track that count as getting further."""


class Standstill:
    """Measures for how long a car has not come 1 m further along the track.

    Args:
        time: s, the present moment.
        distance: m driven along the track until now.
    """

    def __init__(self, time: float = 0.0, distance: float = 0.0) -> None:
        self._time, self._distance = time, distance

    def update(self, time: float, distance: float) -> float:
        """Take note of a moment.

        Args:
            time: s.
            distance: m driven along the track, on the same account as before.

        Returns:
            s since the car last got 1 m further.
        """
        if distance - self._distance >= STUCK_METRES or time < self._time:
            self._time, self._distance = time, distance
        return time - self._time
