"""One HTML file that shows what was learnt and how it drives: `write_report`."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym import __version__
from udacity_gym.evaluation import figures
from udacity_gym.evaluation.result import WORDS, Evaluation, Kind
from udacity_gym.files import write_whole
from udacity_gym.telemetry import MPH, Image
from udacity_gym.world.track.track import Track

OUTSIDE = {"edge": "had a wheel over the edge line, ", "reference": "was more than 1 m off, ", "road": ""}
MOST_INCIDENTS = 25
"""Rows of the table of incidents; the JSON has them all."""


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
    """Write a report as one HTML file that needs nothing from outside but the video beside it.

    Args:
        path: file to write; appears only when whole.
        evaluation: how it drove.
        title: headline; None makes one.
        facts: what else is worth knowing, such as the data and the settings, by name.
        demonstrations: (n,) steering in [-1, 1] of what was learnt from.
        losses: name to loss by epoch, such as "training" and "validation"; the best epoch of the
            last one is marked.
        images: captions and images, such as what the car sees.
        video: video of the drive; linked by its path relative to the report.

    Returns:
        The path of the report.

    Raises:
        UdacityGymError: Nothing can be written there.
    """
    path = Path(path)
    page = Template(part_of_page("report.html")).substitute(
        style=part_of_page("report.css"),
        title=html.escape(title or f"{evaluation.policy} on the {evaluation.track} track"),
        verdict=html.escape(_verdict(evaluation)),
        tiles=_tiles(evaluation),
        video=_video(path, video),
        map=figures.track_map(evaluation, Track(evaluation.track_data)),
        curves=figures.over_distance(evaluation),
        departures=_departures(evaluation),
        incidents=_incidents(evaluation),
        learning=_learning(evaluation, demonstrations, losses),
        images=_images(images),
        facts=_facts(evaluation, facts or {}),
        version=html.escape(__version__),
    )
    return write_whole(path, page)


def part_of_page(name: str) -> str:
    """A template or a style sheet beside this module."""
    return resources.files("udacity_gym.evaluation").joinpath(name).read_text(encoding="utf-8")


def _verdict(evaluation: Evaluation) -> str:
    laps = "1 lap" if evaluation.laps == 1 else f"{evaluation.laps} laps"
    if evaluation.interventions == 0 and evaluation.complete:
        return f"It drove {laps} by itself: {evaluation.distance:.0f} m without a single intervention."
    times = "once" if evaluation.interventions == 1 else f"{evaluation.interventions} times"
    helped = f"and had to be put back {times}" if evaluation.interventions else "without an intervention"
    unjudged = (
        ""
        if evaluation.complete
        else (f"Only {evaluation.laps} of {evaluation.laps_wanted} laps were driven: {evaluation.ended}. ")
    )
    return unjudged + (
        f"It drove {evaluation.distance:.0f} m ({laps}) {helped}. The longest stretch by itself was "
        f"{evaluation.longest_distance_without_intervention:.0f} m."
    )


def _tiles(evaluation: Evaluation) -> str:
    flawless = evaluation.interventions == 0 and evaluation.complete
    good = "good" if flawless else "fair" if evaluation.autonomy >= 0.9 else "poor"
    tiles = [
        ("Autonomy", f"{evaluation.autonomy * 100:.1f}", "%", f"hero {good}"),
        ("Laps", f"{evaluation.laps}", f"of {evaluation.laps_wanted}", ""),
        ("Laps without help", f"{evaluation.laps_without_intervention}", "", ""),
        ("Interventions", f"{evaluation.interventions}", "", ""),
        ("Mean cross-track error", f"{evaluation.mean_abs_cte:.2f}", "m", ""),
        ("Mean speed", f"{evaluation.mean_speed / MPH:.0f}", "mph", ""),
    ]
    return "\n".join(
        f'<div class="tile {look}"><span>{name}</span><b>{value}<i>{unit}</i></b></div>'
        for name, value, unit, look in tiles
    )


def _video(report: Path, video: str | Path | None) -> str:
    if video is None:
        return ""
    source = Path(os.path.relpath(Path(video).absolute(), report.parent.absolute())).as_posix()
    source = html.escape(source, quote=True)
    return (
        f'<div class="card film"><video src="{source}" controls muted loop playsinline autoplay>'
        f'<a href="{source}">the video</a></video></div>'
    )


def _departures(evaluation: Evaluation) -> str:
    rows: list[tuple[Kind, int, float]] = [
        ("edge", evaluation.edge_departures, evaluation.edge_autonomy),
        ("reference", evaluation.reference_departures, evaluation.reference_autonomy),
    ]
    body = "".join(
        f"<tr{' class=chosen' if kind == evaluation.intervene else ''}><td>{WORDS[kind]}</td>"
        f"<td>{count}</td><td>{share:.1%}</td></tr>"
        for kind, count, share in rows
    )
    outside = OUTSIDE[evaluation.intervene]
    return (
        "<table><thead><tr><th>What counts as leaving the lane</th><th>how often</th><th>autonomy</th></tr>"
        f"</thead><tbody>{body}</tbody></table>"
        '<p class="note">Autonomy after Bojarski et al. 2016, section 7: one minus 6&nbsp;s for each '
        f"intervention, over the {evaluation.seconds:.0f}&nbsp;s driven. In this drive the car was put back "
        f"when it {outside}when it was stuck, and when it left the road. "
        f"Largest distance from the line: {evaluation.max_abs_cte:.2f}&nbsp;m.</p>"
    )


def _incidents(evaluation: Evaluation) -> str:
    if not evaluation.incidents:
        return ""
    body = "".join(
        f"<tr><td>{i.time:.1f} s</td><td>{i.distance:.0f} m</td><td>{i.s:.0f} m</td>"
        f"<td>{WORDS[i.kind]}</td><td>{i.cte:+.2f} m</td><td>{i.speed / MPH:.0f} mph</td>"
        f"<td>{'put back' if i.intervention else ''}</td></tr>"
        for i in evaluation.incidents[:MOST_INCIDENTS]
    )
    more = len(evaluation.incidents) - MOST_INCIDENTS
    note = f'<p class="note">… and {more} more; the JSON file has them all.</p>' if more > 0 else ""
    return (
        '<section><h2>Incidents</h2><div class="card"><table><thead><tr><th>time</th><th>driven</th>'
        "<th>on the track at</th><th>what</th><th>off the line</th><th>speed</th><th></th></tr></thead>"
        f"<tbody>{body}</tbody></table>{note}</div></section>"
    )


def _learning(
    evaluation: Evaluation,
    demonstrations: NDArray[np.floating[Any]] | None,
    losses: Mapping[str, Sequence[float]] | None,
) -> str:
    cards = []
    if losses and any(len(values) for values in losses.values()):
        cards.append(("Learning", figures.learning_curve(losses)))
    cards.append(("Steering", figures.steering_histogram(evaluation.trajectory.steering, demonstrations)))
    body = "".join(f'<div class="card"><h3>{name}</h3>{figure}</div>' for name, figure in cards)
    headline = "What it learnt" if demonstrations is not None or losses else "How it steers"
    return f'<section><h2>{headline}</h2><div class="pair">{body}</div></section>'


def _images(images: Sequence[tuple[str, Image]]) -> str:
    if not images:
        return ""
    body = "".join(
        f"<figure>{figures.image(image, html.escape(caption, quote=True))}"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, image in images
    )
    return f'<section><h2>What the car sees</h2><div class="strip">{body}</div></section>'


def _facts(evaluation: Evaluation, facts: Mapping[str, str]) -> str:
    everything = {
        "Policy": evaluation.policy,
        "Track": f"{evaluation.track}, {evaluation.track_length:.0f} m"
        + (", in reverse" if evaluation.track_data.get("direction") == "reverse" else ""),
        **facts,
        "Driven": f"{evaluation.distance:.0f} m in {evaluation.seconds:.0f} s",
        "Lap times": ", ".join(f"{t:.1f} s" for t in evaluation.lap_times) or "none",
        "Seed": "none" if evaluation.seed is None else str(evaluation.seed),
        "Ended by": evaluation.ended,
    }
    return "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in everything.items()
    )
