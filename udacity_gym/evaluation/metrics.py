"""The figures by which driving is judged."""

from __future__ import annotations

INTERVENTION_SECONDS = 6.0
"""s that one intervention costs (Bojarski et al. 2016, section 7: retake control, re-centre, restart)."""

REFERENCE_LIMIT = 1.0
"""m from the reference line at which a car has left its lane (Bojarski et al. 2016, section 7)."""

REFERENCE_RETURN = 0.8
"""m from the reference line below which a departure is over, so that one excursion counts once."""

EDGE_RETURN_SECONDS = 0.5
"""s that all wheels must stay inside the edge line before a departure over it is over."""


def autonomy(interventions: int, seconds: float) -> float:
    """Share of the time the car drove by itself (Bojarski et al. 2016, section 7).

    ``1 - interventions * 6 s / elapsed time``, never below 0.

    Args:
        interventions: how often somebody had to take over.
        seconds: s driven; the time that the interventions would have taken is not part of it.

    Returns:
        [0, 1]; 0 if no time passed at all.

    Raises:
        ValueError: A count or a time below zero.
    """
    if interventions < 0 or seconds < 0:
        raise ValueError(f"interventions and seconds can't be negative, got {interventions} and {seconds}")
    if seconds == 0:
        return 0.0
    return max(0.0, 1.0 - interventions * INTERVENTION_SECONDS / seconds)


class ReferenceDepartures:
    """Counts departures of more than a metre from the reference line, one excursion once."""

    def __init__(self) -> None:
        self.outside = False

    def update(self, cte: float) -> bool:
        """Whether a departure begins with this cross-track error in m."""
        if self.outside:
            self.outside = abs(cte) >= REFERENCE_RETURN
            return False
        self.outside = abs(cte) > REFERENCE_LIMIT
        return self.outside


class EdgeDepartures:
    """Counts departures of a wheel over the edge line, one excursion once."""

    def __init__(self) -> None:
        self.outside = False
        self._last = 0.0

    def update(self, off_lane: bool, time: float) -> bool:
        """Whether a departure begins now.

        Args:
            off_lane: a wheel is over the edge line.
            time: s, never running backwards.
        """
        began = off_lane and not self.outside
        if off_lane:
            self.outside, self._last = True, time
        elif self.outside and time - self._last >= EDGE_RETURN_SECONDS:
            self.outside = False
        return began
