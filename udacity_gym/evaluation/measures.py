"""What policies are compared by: one number of one drive each, with name, unit and direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from udacity_gym.evaluation.result import Criterion, Evaluation


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a drive.

    Attributes:
        name: what it is called in files.
        title: what it is called in tables, with its unit after a comma.
        of: takes it from a drive; NaN where there is nothing to measure.
        drives: which drives tell it: those put back for the first of these criteria that a suite has.
        better: whether more or less of it is better; "" if neither is.
        lowest: it can't be below.
        highest: it can't be above.
        digits: decimals in tables.
        scale: in tables, such as 100 for per cent.
    """

    name: str
    title: str
    of: Callable[[Evaluation], float]
    drives: tuple[Criterion, ...]
    better: Literal["more", "less", ""] = "less"
    lowest: float = 0.0
    highest: float = math.inf
    digits: int = 2
    scale: float = 1.0


def laps_driven(evaluation: Evaluation) -> float:
    """Laps and parts of laps; a metre at least, so that standing still is not divided by."""
    return max(evaluation.distance, 1.0) / evaluation.track_length


def clean_laps(evaluation: Evaluation) -> float:
    """Share of the laps driven without intervention; NaN if time ran out before anything went wrong."""
    if not evaluation.complete and not evaluation.interventions:
        return math.nan
    return evaluation.laps_without_intervention / evaluation.laps_wanted


def clean_lap_time(evaluation: Evaluation) -> float:
    """Mean time of the laps without intervention, s; NaN if there are none."""
    spoilt = {int(i.distance // evaluation.track_length) for i in evaluation.incidents if i.intervention}
    clean = [time for lap, time in enumerate(evaluation.lap_times) if lap not in spoilt]
    return float(np.mean(clean)) if clean else math.nan


def off_lane_seconds(evaluation: Evaluation) -> float:
    """Time with a wheel over the edge line or off the road, s for each lap."""
    drive = evaluation.trajectory
    same = np.diff(drive.stretch) == 0
    return float(np.sum(np.diff(drive.time) * drive.off_lane[1:] * same)) / laps_driven(evaluation)


def steering_rate(evaluation: Evaluation) -> float:
    """Mean of how fast the steering moves either way, full locks per second."""
    changes, _ = _derivatives(evaluation)
    return float(np.mean(np.abs(changes))) if len(changes) else math.nan


def steering_jerk(evaluation: Evaluation) -> float:
    """Root mean square of the steering's second derivative, full locks per square second."""
    _, seconds = _derivatives(evaluation)
    return float(np.sqrt(np.mean(seconds**2))) if len(seconds) else math.nan


def _derivatives(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and second derivative of steering, not across put-backs."""
    drive = evaluation.trajectory
    cuts = np.flatnonzero(np.diff(drive.stretch) != 0) + 1
    first, second = [np.empty(0)], [np.empty(0)]
    for begin, end in pairwise([0, *cuts.tolist(), len(drive)]):
        # The row of a start holds no command yet.
        time, steering = drive.time[begin + 1 : end], drive.steering[begin + 1 : end]
        if len(time) < 2:
            continue
        steps = np.diff(time)
        rate = np.diff(steering) / steps
        first.append(rate)
        second.append(np.diff(rate) / ((steps[:-1] + steps[1:]) / 2))
    return np.concatenate(first), np.concatenate(second)


def _interventions_per_km(evaluation: Evaluation) -> float:
    return evaluation.interventions / max(evaluation.distance, 1.0) * 1000


HELPED: tuple[Criterion, ...] = ("edge", "reference")
"""Drives in which somebody helps as soon as the car leaves its lane."""
LEFT_ALONE: tuple[Criterion, ...] = ("road", "edge", "reference")
"""Drives in which nobody helps before the car has left the road, where there are such."""

MEASURES: tuple[Measure, ...] = (
    Measure("autonomy", "autonomy, %", lambda e: e.autonomy, HELPED, "more", 0, 1, 1, 100),
    Measure(
        "clean_laps",
        "laps without intervention, %",
        clean_laps,
        HELPED,
        "more",
        0,
        1,
        0,
        100,
    ),
    Measure("interventions_per_km", "interventions, 1/km", _interventions_per_km, HELPED),
    Measure("falls_per_lap", "falls per lap", lambda e: e.falls / laps_driven(e), ("road",)),
    Measure("off_lane_seconds", "over the edge line, s/lap", off_lane_seconds, LEFT_ALONE),
    Measure("mean_abs_cte", "mean |cte|, m", lambda e: e.mean_abs_cte, LEFT_ALONE),
    Measure("max_abs_cte", "max |cte|, m", lambda e: e.max_abs_cte, LEFT_ALONE),
    Measure("lap_time", "lap time, s", clean_lap_time, (*HELPED, "road"), digits=1),
    Measure("mean_speed", "mean speed, m/s", lambda e: e.mean_speed, (*HELPED, "road"), ""),
    Measure("steering_rate", "steering rate, 1/s", steering_rate, (*HELPED, "road")),
    Measure("steering_jerk", "steering jerk, 1/s²", steering_jerk, (*HELPED, "road"), digits=1),
)
"""What is measured, in the order of tables."""
