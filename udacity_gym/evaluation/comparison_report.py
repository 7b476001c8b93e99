"""One HTML file that puts policies side by side: `write_comparison`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from udacity_gym.evaluation import figures
from udacity_gym.evaluation.episode_log import Episode, Film
from udacity_gym.evaluation.measures import HELPED, MEASURES
from udacity_gym.evaluation.page import render
from udacity_gym.evaluation.statistics import Estimate
from udacity_gym.evaluation.suite_result import METHOD, Comparison, SuiteResult
from udacity_gym.files import write_whole
from udacity_gym.world.track.track import Track

MOST_FILMS = 8
"""Incidents shown of each policy; all of them are in its folder."""
AUTONOMY = MEASURES[0]


def write_comparison(path: str | Path, comparison: Comparison, title: str | None = None) -> Path:
    """Write a comparison as one HTML file that needs nothing from outside, film strips and videos included.

    Args:
        path: file to write; appears only when whole.
        comparison: of one policy or several.
        title: headline; None makes one.

    Returns:
        The path of the report.

    Raises:
        UdacityGymError: Nothing can be written there.
    """
    suite, results = comparison.suite, comparison.results
    names = " against ".join(result.policy for result in results)
    page = render(
        "comparison.html",
        title=title or f"{names}: {suite.name}",
        verdict=_verdict(comparison),
        table=_table(comparison),
        method=_method(comparison),
        scenarios=_by_scenario(comparison),
        policies=[_policy(result) for result in results],
        steering=_steering(comparison),
        facts=_facts(comparison),
    )
    return write_whole(path, page)


def _verdict(comparison: Comparison) -> str:
    suite, results = comparison.suite, comparison.results
    if AUTONOMY.name not in {measure.name for measure in comparison.told()}:
        return f"{suite.name}: {suite.about or 'drives of one suite'}."
    figures_of = {result.policy: result.measure(AUTONOMY) for result in results}
    if len(results) == 1:
        only = next(iter(figures_of.values()))
        return f"It drove {only.value:.1%} of the time by itself, over {only.n} drives."
    best = comparison.best(AUTONOMY)
    words = " and ".join(best)
    return (
        f"{words} needed least help: {figures_of[best[0]].value:.1%} of the time driven without it. "
        f"All {len(results)} drove from the same {len(results[0].drives())} starts."
    )


def _table(comparison: Comparison) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and cells of each row, a cell for each policy."""
    table, rows = comparison.table(), []
    for measure in comparison.told():
        best = comparison.best(measure) if len(table) > 1 else ()
        cells = [
            {
                **_cell(row[measure.name], measure.digits, measure.scale),
                "best": policy in best and len(best) < len(table),
            }
            for policy, row in table.items()
        ]
        rows.append((measure.title, cells))
    return rows


def _cell(estimate: Estimate, digits: int, scale: float) -> dict[str, str]:
    if math.isnan(estimate.value):
        return {"value": "–", "interval": ""}
    interval = f"{estimate.low * scale:.{digits}f} to {estimate.high * scale:.{digits}f}"
    return {
        "value": f"{estimate.value * scale:.{digits}f}",
        "interval": "" if math.isnan(estimate.low) else interval,
    }


def _method(comparison: Comparison) -> str:
    words = [
        f"Each figure is the {METHOD}.",
        "Where all drives agree the interval has no width: it speaks of these starts and conditions only.",
        "Autonomy: Bojarski et al. 2016, section 7; falls per lap: Ross et al. 2011, section 5.1.",
    ]
    if "road" in comparison.suite.intervene and len(comparison.suite.intervene) > 1:
        words.append(
            "Every start is driven twice: once helped as soon as the car leaves its lane (autonomy, "
            "interventions, lap time, speed, steering), and once left alone until it falls off the road "
            "(falls, time over the line, cross-track error)."
        )
    if len(comparison.results) > 1:
        first = comparison.results[0].policy
        for policy, estimate in comparison.differences(AUTONOMY).items():
            if not math.isnan(estimate.value):
                points = estimate.text(1, 100)
                words.append(f"Autonomy of {policy} less that of {first}, start by start: {points} points.")
    return " ".join(words)


def _by_scenario(comparison: Comparison) -> Markup:
    measure = next((m for m in comparison.told() if m.drives), AUTONOMY)
    table = {
        result.policy: {str(s): result.measure(measure, s) for s in comparison.suite.scenarios}
        for result in comparison.results
    }
    return figures.estimates(table, measure.title, measure.scale)


def _policy(result: SuiteResult) -> dict[str, Any]:
    """What the template shows of a policy."""
    films = [(episode, film) for episode in result.episodes for film in episode.films]
    shown = _films(films, result.folder) if result.folder is not None else []
    return {
        "name": result.policy,
        "maps": list(_maps(result)),
        "has_films": bool(films) and result.folder is not None,
        "films": shown,
        "more_films": len(films) - len(shown),
    }


def _maps(result: SuiteResult) -> Iterator[tuple[str, Markup]]:
    """Title and map of each track in each direction."""
    for track, direction in dict.fromkeys((s.track, s.direction) for s in result.suite.scenarios):
        drives = [
            e.evaluation
            for e in result.episodes
            if (e.case.scenario.track, e.case.scenario.direction) == (track, direction)
            and e.case.intervene == result.suite.intervene[0]
        ]
        if drives:
            title = f"{track}{', in reverse' if direction == 'reverse' else ''}: {len(drives)} drives"
            yield title, figures.track_map(drives, Track(drives[0].track_data))


def _films(films: Sequence[tuple[Episode, Film]], folder: Path) -> list[dict[str, str | None]]:
    """Caption, film strip and video of some incidents."""
    # Of every episode one before any has two: many incidents of one bad drive tell less.
    order = sorted(range(len(films)), key=lambda k: sum(e is films[k][0] for e, _ in films[:k]))
    shown: list[dict[str, str | None]] = []
    for episode, film in (films[k] for k in sorted(order[:MOST_FILMS])):
        strip = _data(folder / film.strip, "image/jpeg")
        if strip is None:  # somebody has taken the films away
            continue
        video = None if film.video is None else _data(folder / film.video, "video/webm")
        caption = f"{episode.case.scenario}, seed {episode.case.seed}: {film.caption}"
        shown.append({"caption": caption, "strip": strip, "video": video})
    return shown


def _data(path: Path, kind: str) -> str | None:
    if not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _steering(comparison: Comparison) -> Markup:
    wanted = (*HELPED, "road")
    samples = {
        result.policy: np.concatenate([d.trajectory.steering for d in result.drives(wanted)])
        for result in comparison.results
        if result.drives(wanted)
    }
    if comparison.human is not None:
        samples = {"human": comparison.human, **samples}
    return figures.steering_histograms(samples, comparison.human is not None)


def _facts(comparison: Comparison) -> dict[str, str]:
    suite = comparison.suite
    lost = [f"{r.policy}: {len(r.episodes)} of {len(suite)}" for r in comparison.results if not r.complete]
    cut = sum(not e.evaluation.complete for r in comparison.results for e in r.episodes)
    return {
        "Suite": f"{suite.name}{': ' + suite.about if suite.about else ''}",
        "Scenarios": "; ".join(map(str, suite.scenarios)),
        "Seeds": ", ".join(map(str, suite.seeds)),
        "Put back for": " and, in drives of their own, ".join(suite.intervene),
        "Laps": str(suite.laps),
        "Drives": str(sum(len(result.episodes) for result in comparison.results)),
        **({"Missing": "; ".join(lost)} if lost else {}),
        **({"Ended before the laps were driven": f"{cut} drives"} if cut else {}),
    }
