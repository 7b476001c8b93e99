"""HTML report of an evaluation: `write_report`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from udacity_gym.evaluation import figures
from udacity_gym.evaluation.metrics import autonomy
from udacity_gym.evaluation.page import render
from udacity_gym.evaluation.result import WORDS, Evaluation, Incident, Kind
from udacity_gym.files import write_whole
from udacity_gym.telemetry import MPH, Image
from udacity_gym.text import count
from udacity_gym.world.track.track import Track

OUTSIDE = {"edge": "had a wheel over the edge line, ", "reference": "was more than 1 m off, ", "road": ""}
MAX_INCIDENTS = 25
"""Maximum number of rows in the table of incidents; the JSON file has all of them."""


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    *,
    title: str | None = None,
    facts: Mapping[str, str] | None = None,
    demonstrations: NDArray[np.floating[Any]] | None = None,
    losses: Mapping[str, Sequence[float]] | None = None,
    images: Sequence[tuple[str, Image]] = (),
    video: str | Path | None = None,
) -> Path:
    """Write a report as one HTML file; only the video is a file of its own.

    Args:
        path: file to write, atomically.
        evaluation: results of the drive.
        title: headline; None for a default.
        facts: more names and values for the list of facts, such as the data and the settings.
        demonstrations: (n,) steering of the training data, [-1, 1].
        losses: name to loss by epoch, such as "training" and "validation"; the best epoch of the
            last one is marked.
        images: pairs of caption and image, such as images of the camera.
        video: video of the drive; linked by its path relative to the report.

    Returns:
        The path of the report.

    Raises:
        UdacityGymError: The file can't be written.
    """
    path = Path(path)
    page = render(
        "report.html",
        title=title or f"{evaluation.policy} on the {evaluation.track} track",
        verdict=_verdict(evaluation),
        tiles=_tiles(evaluation),
        video=None if video is None else _relative(video, path.parent),
        map=figures.track_map(evaluation, Track(evaluation.track_data)),
        curves=figures.over_distance(evaluation),
        departures=_departures(evaluation),
        seconds=f"{evaluation.seconds:.0f}",
        outside=OUTSIDE[evaluation.intervene],
        max_abs_cte=f"{evaluation.max_abs_cte:.2f}",
        incidents=[_incident(incident) for incident in evaluation.incidents[:MAX_INCIDENTS]],
        more_incidents=len(evaluation.incidents) - MAX_INCIDENTS,
        learning_title="What it learnt" if demonstrations is not None or losses else "How it steers",
        learning=_learning(evaluation, demonstrations, losses),
        images=[(caption, figures.image(image, caption)) for caption, image in images],
        facts=_facts(evaluation, facts or {}),
    )
    return write_whole(path, page)


def _verdict(evaluation: Evaluation) -> str:
    laps, wanted = count(evaluation.laps, "lap"), count(evaluation.laps_wanted, "lap")
    if evaluation.interventions == 0 and evaluation.complete:
        return f"It drove {laps} by itself: {evaluation.distance:.0f} m without a single intervention."
    times = "once" if evaluation.interventions == 1 else f"{evaluation.interventions} times"
    help_text = f"and had to be put back {times}" if evaluation.interventions else "without an intervention"
    missing_laps = (
        ""
        if evaluation.complete
        else (f"Only {evaluation.laps} of {wanted} were driven: {evaluation.ended}. ")
    )
    stuck = f", {evaluation.stuck} of them because it was stuck" if evaluation.stuck else ""
    return missing_laps + (
        f"It drove {evaluation.distance:.0f} m ({laps}) {help_text}{stuck}. The longest stretch by itself "
        f"was {evaluation.longest_distance_without_intervention:.0f} m."
    )


def _tiles(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    """Name, value, unit and CSS classes of each tile."""
    flawless = evaluation.interventions == 0 and evaluation.complete
    good = "good" if flawless else "fair" if evaluation.autonomy >= 0.9 else "poor"
    return [
        ("Autonomy", f"{evaluation.autonomy * 100:.1f}", "%", f"hero {good}"),
        ("Laps", f"{evaluation.laps}", f"of {evaluation.laps_wanted}", ""),
        ("Laps without help", f"{evaluation.laps_without_intervention}", "", ""),
        ("Interventions", f"{evaluation.interventions}", "", ""),
        ("Mean cross-track error", f"{evaluation.mean_abs_cte:.2f}", "m", ""),
        ("Mean speed", f"{evaluation.mean_speed / MPH:.0f}", "mph", ""),
    ]


def _relative(video: str | Path, folder: Path) -> str:
    """Path of a video relative to the folder of a page."""
    return Path(os.path.relpath(Path(video).absolute(), folder.absolute())).as_posix()


def _departures(evaluation: Evaluation) -> list[tuple[str, int, str, bool]]:
    """Rows of the table of departures: criterion, count, autonomy, whether the car was put back for it."""
    rows: list[tuple[Kind, int, float]] = [
        ("edge", evaluation.edge_departures, evaluation.edge_autonomy),
        ("reference", evaluation.reference_departures, evaluation.reference_autonomy),
        ("stuck", evaluation.stuck, autonomy(evaluation.stuck, evaluation.seconds)),
    ]
    return [
        (WORDS[kind], count, f"{share:.1%}", kind in (evaluation.intervene, "stuck"))
        for kind, count, share in rows
    ]


def _incident(incident: Incident) -> list[str]:
    """Cells of the table row of an incident."""
    return [
        f"{incident.time:.1f} s",
        f"{incident.distance:.0f} m",
        f"{incident.s:.0f} m",
        WORDS[incident.kind],
        f"{incident.cte:+.2f} m",
        f"{incident.speed / MPH:.0f} mph",
        "put back" if incident.intervention else "",
    ]


def _learning(
    evaluation: Evaluation,
    demonstrations: NDArray[np.floating[Any]] | None,
    losses: Mapping[str, Sequence[float]] | None,
) -> list[tuple[str, Markup]]:
    cards = []
    if losses and any(len(values) for values in losses.values()):
        cards.append(("Learning", figures.learning_curve(losses)))
    cards.append(("Steering", figures.steering_histogram(evaluation.trajectory.steering, demonstrations)))
    return cards


def _facts(evaluation: Evaluation, facts: Mapping[str, str]) -> dict[str, str]:
    return {
        "Policy": evaluation.policy,
        "Track": f"{evaluation.track}, {evaluation.track_length:.0f} m"
        + (", in reverse" if evaluation.track_data.get("direction") == "reverse" else ""),
        **facts,
        "Driven": f"{evaluation.distance:.0f} m in {evaluation.seconds:.0f} s",
        "Lap times": ", ".join(f"{t:.1f} s" for t in evaluation.lap_times) or "none",
        "Seed": "none" if evaluation.seed is None else str(evaluation.seed),
        "Ended by": evaluation.ended,
    }
