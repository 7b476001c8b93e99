"""HTML report that compares policies: `write_comparison`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from udacity_gym.evaluation import figures
from udacity_gym.evaluation.episode_log import Episode, Film
from udacity_gym.evaluation.measures import HELPED, MEASURES
from udacity_gym.evaluation.page import render
from udacity_gym.evaluation.provenance import Provenance
from udacity_gym.evaluation.statistics import Estimate
from udacity_gym.evaluation.suite_result import CONTROLLED, METHOD, Comparison, SuiteResult
from udacity_gym.files import write_whole
from udacity_gym.text import count
from udacity_gym.world.track.track import Track

MAX_FILMS = 8
"""Maximum number of incidents shown per policy; the folder has all of them."""
AUTONOMY = MEASURES[0]


def write_comparison(path: str | Path, comparison: Comparison, title: str | None = None) -> Path:
    """Write a comparison as one self-contained HTML file, with film strips and videos.

    Args:
        path: file to write, atomically.
        comparison: one policy or several.
        title: headline; None for a default.

    Returns:
        The path of the report.

    Raises:
        UdacityGymError: The file can't be written.
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
    if AUTONOMY.name not in {measure.name for measure in comparison.available_measures()}:
        return f"{suite.name}: {suite.about or 'drives of one suite'}."
    figures_of = {result.policy: result.measure(AUTONOMY) for result in results}
    if len(results) == 1:
        estimate = next(iter(figures_of.values()))
        return f"It drove {estimate.value:.1%} of the time by itself, over {count(estimate.n, 'drive')}."
    best = comparison.best(AUTONOMY)
    best_names = " and ".join(best)
    return (
        f"{best_names} needed the least help: autonomy {figures_of[best[0]].value:.1%}. "
        f"All {len(results)} drove from the same {len(results[0].drives())} starts."
    )


def _table(comparison: Comparison) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and cells of each row, a cell for each policy."""
    table, rows = comparison.table(), []
    for measure in comparison.available_measures():
        best = comparison.best(measure) if len(table) > 1 else ()
        cells = [
            {
                **_cell(row[measure.name], measure.digits, measure.scale, measure.counts is not None),
                "best": policy in best and len(best) < len(table),
            }
            for policy, row in table.items()
        ]
        rows.append((measure.title, cells))
    for scenario in comparison.suite.scenarios:
        control = comparison.suite.control_of(scenario)
        if control is not None:
            differences = [r.against_control(CONTROLLED)[scenario] for r in comparison.results]
            cells = [{**_cell(e, CONTROLLED.digits, CONTROLLED.scale), "best": False} for e in differences]
            rows.append((f"{CONTROLLED.title}: {scenario}, minus {control}", cells))
    return rows


def _cell(estimate: Estimate, digits: int, scale: float, is_count: bool = False) -> dict[str, Any]:
    if math.isnan(estimate.value):
        return {"value": "–", "interval": ""}
    interval = f"{estimate.low * scale:.{digits}f} to {estimate.high * scale:.{digits}f}"
    interval += f", of {estimate.n}" if is_count else ""
    return {
        "value": f"{estimate.value * scale:.{digits}f}",
        "interval": "" if math.isnan(estimate.low) else interval,
    }


def _method(comparison: Comparison) -> str:
    sentences = [
        f"Each value is the {METHOD}.",
        "If all drives agree, the interval has no width; it holds for these starts and conditions only.",
        "Autonomy: Bojarski et al. 2016, section 7; falls per lap: Ross et al. 2011, section 5.1.",
    ]
    if "road" in comparison.suite.intervene and len(comparison.suite.intervene) > 1:
        sentences.append(
            "Every start is driven twice: once helped as soon as the car leaves its lane (autonomy, "
            "interventions, lap time, speed, steering), and once without interventions until it falls off "
            "the road (falls, time over the line, cross-track error)."
        )
    if len(comparison.results) > 1:
        first = comparison.results[0].policy
        for policy, estimate in comparison.differences(AUTONOMY).items():
            if not math.isnan(estimate.value):
                points = estimate.text(1, 100)
                sentences.append(f"Autonomy of {policy} minus {first}, paired by start: {points} points.")
    return " ".join(sentences)


def _by_scenario(comparison: Comparison) -> Markup:
    measure = next((m for m in comparison.available_measures() if m.drives), AUTONOMY)
    table = {
        result.policy: {str(s): result.measure(measure, s) for s in comparison.suite.scenarios}
        for result in comparison.results
    }
    return figures.estimates(table, measure.title, measure.scale, (measure.lowest, measure.highest))


def _policy(result: SuiteResult) -> dict[str, Any]:
    """Values of a policy for the template."""
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
            title = (
                f"{track}{', in reverse' if direction == 'reverse' else ''}: {count(len(drives), 'drive')}"
            )
            yield title, figures.track_map(drives, Track(drives[0].track_data))


def _films(films: Sequence[tuple[Episode, Film]], folder: Path) -> list[dict[str, str | None]]:
    """Caption, film strip and video of some incidents."""
    # First one film of each episode, then the second ones: variety tells more than one bad drive.
    order = sorted(range(len(films)), key=lambda k: sum(e is films[k][0] for e, _ in films[:k]))
    shown: list[dict[str, str | None]] = []
    for episode, film in (films[k] for k in sorted(order[:MAX_FILMS])):
        strip = _data(folder / film.strip, "image/jpeg")
        if strip is None:  # the file was deleted
            continue
        video = None
        if film.video is not None:
            video = _data(folder / film.video, "video/mp4" if film.video.endswith(".mp4") else "video/webm")
        caption = f"{episode.case.scenario}, seed {episode.case.seed}: {film.caption}"
        shown.append({"caption": caption, "strip": strip, "video": video})
    return shown


def _data(path: Path, kind: str) -> str | None:
    if not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _steering(comparison: Comparison) -> Markup:
    criteria = (*HELPED, "road")
    samples = {
        result.policy: np.concatenate([d.trajectory.steering for d in result.drives(criteria)])
        for result in comparison.results
        if result.drives(criteria)
    }
    if comparison.human is not None:
        samples = {"human": comparison.human, **samples}
    return figures.steering_histograms(samples, comparison.human is not None)


def _facts(comparison: Comparison) -> dict[str, str]:
    suite = comparison.suite
    missing = [f"{r.policy}: {len(r.episodes)} of {len(suite)}" for r in comparison.results if not r.complete]
    incomplete = sum(not e.evaluation.complete for r in comparison.results for e in r.episodes)
    return {
        "Suite": f"{suite.name}{': ' + suite.about if suite.about else ''}",
        "Scenarios": "; ".join(map(str, suite.scenarios)),
        "Seeds": ", ".join(map(str, suite.seeds)),
        "Put back for": " and, in drives of their own, ".join(suite.intervene),
        "Laps": str(suite.laps),
        "Drives": str(sum(len(result.episodes) for result in comparison.results)),
        "Made with": "; ".join(_made_with(p) for p in _provenances(comparison)) or "unknown",
        **({"Missing": "; ".join(missing)} if missing else {}),
        **({"Ended before the laps were driven": count(incomplete, "drive")} if incomplete else {}),
    }


def _provenances(comparison: Comparison) -> list[Provenance]:
    """The different programs that drove, whatever they drove."""
    found = [replace(p, policy=None) for result in comparison.results for p in result.provenances]
    return [provenance for i, provenance in enumerate(found) if provenance not in found[:i]]


def _made_with(provenance: Provenance) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    commit = f", commit {provenance.commit}" if provenance.commit else ""
    return f"{versions}{commit}, by {provenance.command}"
