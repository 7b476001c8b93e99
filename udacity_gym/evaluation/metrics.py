"""Autonomy, and departures from the lane."""

from __future__ import annotations

INTERVENTION_SECONDS = 6.0
"""Seconds per intervention (Bojarski et al. 2016, section 7: retake control, re-centre, restart)."""

REFERENCE_LIMIT = 1.0
"""Distance from the reference line at which a car leaves its lane, m (Bojarski et al. 2016, section 7)."""

REFERENCE_RETURN = 0.8
"""Distance from the reference line below which a departure ends, m; one excursion counts once."""

EDGE_RETURN_SECONDS = 0.5
"""Seconds that all wheels must stay inside the edge line before a departure ends."""


def autonomy(interventions: int, seconds: float) -> float:
    """Share of the time that the car drove by itself (Bojarski et al. 2016, section 7).

    ``1 - interventions * 6 s / elapsed time``, never below 0.

    Args:
        interventions: number of interventions.
        seconds: time driven, s, without the time that the interventions would have taken.

    Returns:
        [0, 1]; 0 if no time passed.

    Raises:
        ValueError: The count or the time is negative.
    """
    if interventions < 0 or seconds < 0:
        raise ValueError(f"interventions and seconds can't be negative, got {interventions} and {seconds}")
    if seconds == 0:
        return 0.0
    return max(0.0, 1.0 - interventions * INTERVENTION_SECONDS / seconds)


class ReferenceDepartures:
    """Detect departures of more than 1 m from the reference line; one excursion counts once."""

    def __init__(self) -> None:
        self.outside = False

    def update(self, cte: float) -> bool:
        """Process a cross-track error, m. Returns whether a departure begins."""
        if self.outside:
            self.outside = abs(cte) >= REFERENCE_RETURN
            return False
        self.outside = abs(cte) > REFERENCE_LIMIT
        return self.outside


class EdgeDepartures:
    """Detect departures of a wheel over the edge line; one excursion counts once."""

    def __init__(self) -> None:
        self.outside = False
        self._last = 0.0

    def update(self, off_lane: bool, time: float) -> bool:
        """Process a step. Returns whether a departure begins.

        Args:
            off_lane: whether a wheel is over the edge line.
            time: time of the step, s; must not decrease.
        """
        begins = off_lane and not self.outside
        if off_lane:
            self.outside, self._last = True, time
        elif self.outside and time - self._last >= EDGE_RETURN_SECONDS:
            self.outside = False
        return begins
