"""Measures that compare policies: a number per drive, with name, unit and direction."""

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
    """A number that is computed from a drive.

    Attributes:
        name: name in files.
        title: name in tables, with its unit after a comma.
        of: computes it from an evaluation; NaN if there is nothing to measure.
        drives: criteria in order of preference; the drives with the first one that a suite has are measured.
        better: whether more or less of it is better; "" if neither is.
        lowest: smallest possible value.
        highest: largest possible value.
        digits: number of decimals in tables.
        scale: factor in tables, such as 100 for per cent.
        counts: successes and trials of an evaluation, for shares of all trials of all drives, which have
            Wilson's interval; None for means over the drives, with the interval of Student's t.
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
    counts: Callable[[Evaluation], tuple[int, int]] | None = None


def laps_driven(evaluation: Evaluation) -> float:
    """Driven laps, with fractions. At least a metre, to avoid a division by zero."""
    return max(evaluation.distance, 1.0) / evaluation.track_length


def clean_laps(evaluation: Evaluation) -> float:
    """Share of the laps driven without intervention; NaN if time ran out before anything went wrong."""
    if not evaluation.complete and not evaluation.interventions:
        return math.nan
    return evaluation.laps_without_intervention / evaluation.laps_wanted


def completed_laps(evaluation: Evaluation) -> tuple[int, int]:
    """Laps driven without intervention, and the laps to drive; (0, 0) where `clean_laps` is NaN."""
    if math.isnan(clean_laps(evaluation)):
        return 0, 0
    return evaluation.laps_without_intervention, evaluation.laps_wanted


def clean_lap_time(evaluation: Evaluation) -> float:
    """Mean time of the laps without intervention, s; NaN if there are none."""
    laps_with_interventions = {
        int(i.distance // evaluation.track_length) for i in evaluation.incidents if i.intervention
    }
    clean = [time for lap, time in enumerate(evaluation.lap_times) if lap not in laps_with_interventions]
    return float(np.mean(clean)) if clean else math.nan


def off_lane_seconds(evaluation: Evaluation) -> float:
    """Time with a wheel over the edge line or off the road, s per lap."""
    drive = evaluation.trajectory
    same = np.diff(drive.stretch) == 0
    return float(np.sum(np.diff(drive.time) * drive.off_lane[1:] * same)) / laps_driven(evaluation)


def steering_rate(evaluation: Evaluation) -> float:
    """Mean absolute rate of steering, full locks per second."""
    rates, _ = _derivatives(evaluation)
    return float(np.mean(np.abs(rates))) if len(rates) else math.nan


def steering_jerk(evaluation: Evaluation) -> float:
    """Root mean square of the steering's second derivative, full locks per square second."""
    _, accelerations = _derivatives(evaluation)
    return float(np.sqrt(np.mean(accelerations**2))) if len(accelerations) else math.nan


def _derivatives(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and second derivative of steering, without the jumps where the car was put back."""
    drive = evaluation.trajectory
    cuts = np.flatnonzero(np.diff(drive.stretch) != 0) + 1
    first, second = [np.empty(0)], [np.empty(0)]
    for begin, end in pairwise([0, *cuts.tolist(), len(drive)]):
        # The first row of a start has no command yet.
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
"""Criteria that put the car back as soon as it leaves its lane."""
ROAD_FIRST: tuple[Criterion, ...] = ("road", "edge", "reference")
"""Criteria with "road" first, which puts the car back only when it has left the road."""

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
    Measure(
        "completed_laps",
        "laps completed of N, %",
        clean_laps,
        ROAD_FIRST,
        "more",
        0,
        1,
        0,
        100,
        completed_laps,
    ),
    Measure("interventions_per_km", "interventions, 1/km", _interventions_per_km, HELPED),
    Measure("stuck_per_lap", "stuck, per lap", lambda e: e.stuck / laps_driven(e), (*HELPED, "road")),
    Measure("falls_per_lap", "falls per lap", lambda e: e.falls / laps_driven(e), ("road",)),
    Measure("off_lane_seconds", "over the edge line, s/lap", off_lane_seconds, ROAD_FIRST),
    Measure("mean_abs_cte", "mean |cte|, m", lambda e: e.mean_abs_cte, ROAD_FIRST),
    Measure("max_abs_cte", "max |cte|, m", lambda e: e.max_abs_cte, ROAD_FIRST),
    Measure("lap_time", "lap time, s", clean_lap_time, (*HELPED, "road"), digits=1),
    Measure("mean_speed", "mean speed, m/s", lambda e: e.mean_speed, (*HELPED, "road"), ""),
    Measure("steering_rate", "steering rate, 1/s", steering_rate, (*HELPED, "road")),
    Measure("steering_jerk", "steering jerk, 1/s²", steering_jerk, (*HELPED, "road"), digits=1),
)
"""All measures, in the order of tables."""
