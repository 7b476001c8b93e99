"""Figures of a report, as self-contained HTML.

They are drawn with matplotlib's objects, without global state, so that they can be drawn in any thread.
Without matplotlib, a line takes the place of each figure.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from udacity_gym.errors import MissingDependencyError
from udacity_gym.evaluation.metrics import REFERENCE_LIMIT
from udacity_gym.evaluation.result import Evaluation, Trajectory
from udacity_gym.evaluation.statistics import Estimate
from udacity_gym.installation import missing
from udacity_gym.telemetry import MPH, Image
from udacity_gym.world.track.track import Track

NO_FIGURES: MissingDependencyError | None = None
"""Why no figures can be drawn; None if they can."""

try:
    import matplotlib
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
except ImportError as error:
    NO_FIGURES = missing("matplotlib", "a figure", error=error)

P = ParamSpec("P")

INK = "#1f2933"
MUTED = "#7b8794"
GRID = "#e4e7eb"
ROAD = "#e4e7eb"
BLUE = "#2563eb"
TEAL = "#0d9488"
AMBER = "#d97706"
RED = "#dc2626"
POLICY_COLOURS = (BLUE, AMBER, TEAL, RED, "#7c3aed", "#db2777", "#65a30d", "#0891b2")
CTE_COLOURS = (TEAL, "#84cc16", "#facc15", "#f97316", RED)
"""Colours of the distance from the reference line, from none to the greatest."""
MAX_POINTS = 2000
"""Maximum number of points of a curve; no screen shows more."""


def _figure(draw: Callable[P, Markup]) -> Callable[P, Markup]:
    """Make a function that draws put a line in place of its figure where matplotlib is missing."""

    @wraps(draw)
    def draw_or_explain(*args: P.args, **kwargs: P.kwargs) -> Markup:
        if NO_FIGURES is None:
            return draw(*args, **kwargs)
        return Markup('<p class="note">{}</p>').format(NO_FIGURES)

    return draw_or_explain


@_figure
def track_map(evaluation: Evaluation | Sequence[Evaluation], track: Track) -> Markup:
    """Draw a map of the track with drives, coloured by distance from the reference line, and incidents.

    Args:
        evaluation: one drive, or several on the same track.
        track: the track.
    """
    drives = [evaluation] if isinstance(evaluation, Evaluation) else list(evaluation)
    figure = Figure(figsize=(5.6, 4.6), dpi=220)
    axes = figure.add_axes((0.0, 0.08, 1.0, 0.92))
    x, y = _beside(track, 0.0)
    left, right = _beside(track, track.half_width), _beside(track, -track.half_width)
    ring = [np.concatenate([outer, inner[::-1]]) for outer, inner in zip(right, left, strict=True)]
    axes.fill(*ring, color=ROAD, linewidth=0, zorder=0)
    for edge in (left, right):
        axes.plot(*edge, color="#cbd2d9", linewidth=0.6, zorder=1)
    segments, offsets = [], []
    for drive in (e.trajectory for e in drives):
        points = np.stack([drive.x, drive.y], axis=1)
        same = np.diff(drive.stretch) == 0
        segments += list(np.stack([points[:-1], points[1:]], axis=1)[same])
        offsets.append(np.abs(drive.cte[1:])[same])
    colour_of = Normalize(0.0, 1.5 * REFERENCE_LIMIT, clip=True)
    lines = LineCollection(
        segments,
        array=np.concatenate(offsets),
        cmap=LinearSegmentedColormap.from_list("cte", CTE_COLOURS),
        norm=colour_of,
        linewidths=1.6,
        capstyle="round",
        zorder=2,
    )
    axes.add_collection(lines)
    for incident in (incident for e in drives for incident in e.incidents):
        if incident.intervention:
            axes.plot(incident.x, incident.y, "X", color=RED, markersize=8, markeredgecolor="white", zorder=4)
        else:
            axes.plot(
                incident.x, incident.y, "o", color="none", markeredgecolor=AMBER, markersize=6, zorder=3
            )
    for drive in (e.trajectory for e in drives if len(e.trajectory)):
        axes.plot(drive.x[0], drive.y[0], "o", color="white", markeredgecolor=INK, markersize=6, zorder=5)
        if len(drives) > 1:
            continue
        axes.annotate(
            "start",
            (drive.x[0], drive.y[0]),
            (7, -3),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            zorder=5,
        )
    _scale_bar(axes, x, y)
    axes.set_aspect("equal")
    axes.margins(0.04)
    axes.set_axis_off()
    bar_axes = figure.add_axes((0.30, 0.075, 0.4, 0.016))
    bar = figure.colorbar(lines, cax=bar_axes, orientation="horizontal", extend="max")
    bar.set_label("distance from the reference line, m", fontsize=8, color=MUTED)
    bar.outline.set_visible(False)
    bar_axes.tick_params(labelsize=7, colors=MUTED, length=0)
    return _png(figure, "Map of the track with the drive")


@_figure
def over_distance(evaluation: Evaluation) -> Markup:
    """Plot cross-track error and speed over the distance, with laps and put-backs."""
    figure = Figure(figsize=(11.6, 4.6))
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2), "hspace": 0.16})
    drive = evaluation.trajectory
    upper.axhspan(-REFERENCE_LIMIT, REFERENCE_LIMIT, color=TEAL, alpha=0.07, linewidth=0)
    upper.axhline(0, color=GRID, linewidth=1)
    upper.plot(*_curve(drive, drive.cte), color=BLUE, linewidth=1.1)
    reach = max(1.25 * REFERENCE_LIMIT, 1.1 * evaluation.max_abs_cte)
    upper.set_ylim(-reach, reach)
    upper.set_ylabel("off the line, m\n(positive right)")
    lower.plot(*_curve(drive, drive.speed / MPH), color=TEAL, linewidth=1.1)
    lower.set_ylim(0, max(10.0, 1.12 * float(np.max(drive.speed)) / MPH))
    lower.set_ylabel("speed, mph")
    lower.set_xlabel("distance driven, m")
    for axes in (upper, lower):
        _plain(axes)
        for lap in range(1, evaluation.laps + 1):
            axes.axvline(lap * evaluation.track_length, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        for incident in evaluation.incidents:
            if incident.intervention:
                axes.axvline(incident.distance, color=RED, linewidth=0.9, alpha=0.6)
    for lap in range(1, evaluation.laps + 1):
        upper.annotate(
            f"lap {lap}", (lap * evaluation.track_length, reach), (-4, -10), textcoords="offset points",
            ha="right", fontsize=8, color=MUTED,
        )  # fmt: skip
    upper.set_xlim(0, max(1.0, float(np.max(drive.distance))))
    return _svg(figure, "Cross-track error and speed over distance")


@_figure
def steering_histogram(
    policy: NDArray[np.floating[Any]], demonstrations: NDArray[np.floating[Any]] | None
) -> Markup:
    """Plot histograms of the steering of the policy and, if given, of the demonstrations."""
    figure = Figure(figsize=(5.6, 3.0))
    axes = figure.subplots()
    everything = policy if demonstrations is None else np.concatenate([policy, demonstrations])
    reach = min(1.0, max(0.1, float(np.quantile(np.abs(everything), 0.998)) * 1.1))
    bins = np.linspace(-reach, reach, 42)
    sets = [("policy", policy, BLUE)]
    if demonstrations is not None:
        sets.insert(0, ("demonstrations", demonstrations, AMBER))
    for name, values, colour in sets:
        share = np.histogram(np.clip(values, -reach, reach), bins)[0] / max(1, len(values)) * 100
        axes.stairs(share, bins, fill=True, color=colour, alpha=0.22)
        axes.stairs(share, bins, color=colour, linewidth=1.4, label=name)
    axes.set_xlabel("steering (negative left, positive right)")
    axes.set_ylabel("share of the time, %")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    _plain(axes)
    return _svg(figure, "Histogram of steering")


@_figure
def estimates(
    table: Mapping[str, Mapping[str, Estimate]],
    label: str,
    scale: float = 1.0,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Markup:
    """Plot estimates with their intervals, a row each, a colour per policy.

    Args:
        table: estimates by policy and row.
        label: label of the axis.
        scale: factor of the values, such as 100 for per cent.
        limits: least and greatest possible value, without the factor; the axis does not go beyond.
    """
    rows = list(dict.fromkeys(row for figures in table.values() for row in figures))
    height = 0.9 + len(rows) * (0.22 + 0.17 * len(table))
    figure = Figure(figsize=(11.6, height))
    axes = figure.subplots()
    for k, (policy, estimates_by_row) in enumerate(table.items()):
        shift = (k - (len(table) - 1) / 2) * 0.7 / max(1, len(table))
        positions = np.array([rows.index(row) + shift for row in estimates_by_row])
        values = (
            np.array([[e.value, e.low, e.high] for e in estimates_by_row.values()]).reshape(-1, 3) * scale
        )
        low, high = (np.where(np.isnan(ends), values[:, 0], ends) for ends in values[:, 1:].T)
        colour = POLICY_COLOURS[k % len(POLICY_COLOURS)]
        axes.hlines(positions, low, high, color=colour, linewidth=2.2, alpha=0.45)
        axes.plot(values[:, 0], positions, "o", color=colour, markersize=6, label=policy, clip_on=False)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*_within(axes.get_xlim(), limits[0] * scale, limits[1] * scale))
    axes.set_xlabel(label)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    _plain(axes)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    return _svg(figure, label)


@_figure
def steering_histograms(samples: Mapping[str, NDArray[np.floating[Any]]], human: bool) -> Markup:
    """Plot histograms of steering, a line per name. The first one is filled if it is of a human."""
    figure = Figure(figsize=(11.6, 3.2))
    axes = figure.subplots()
    everything = np.concatenate(list(samples.values()))
    reach = min(1.0, max(0.1, float(np.quantile(np.abs(everything), 0.998)) * 1.1))
    bins = np.linspace(-reach, reach, 42)
    colours = [MUTED, *POLICY_COLOURS] if human else list(POLICY_COLOURS)
    for k, (name, values) in enumerate(samples.items()):
        share = np.histogram(np.clip(values, -reach, reach), bins)[0] / max(1, len(values)) * 100
        colour = colours[k % len(colours)]
        if human and k == 0:
            axes.stairs(share, bins, fill=True, color=colour, alpha=0.22)
        axes.stairs(share, bins, color=colour, linewidth=1.5, label=name)
    axes.set_xlabel("steering (negative left, positive right)")
    axes.set_ylabel("share of the time, %")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    _plain(axes)
    return _svg(figure, "Histogram of steering")


@_figure
def learning_curve(losses: Mapping[str, Sequence[float]]) -> Markup:
    """Plot the loss of each epoch, a line per name. The best epoch of the last name is marked."""
    figure = Figure(figsize=(5.6, 3.0))
    axes = figure.subplots()
    for (name, values), colour in zip(losses.items(), (AMBER, BLUE, TEAL, RED), strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.5, label=name, marker=".")
    _, last = list(losses.items())[-1]
    if len(last) and np.isfinite(last).any():
        best = int(np.nanargmin(last))
        axes.plot(best + 1, last[best], "o", color="none", markeredgecolor=INK, markersize=9)
        axes.annotate(
            "kept", (best + 1, last[best]), (0, 10), textcoords="offset points", ha="center", fontsize=8
        )
    everything = np.concatenate([np.asarray(values, float) for values in losses.values()])
    everything = everything[np.isfinite(everything)]
    if len(everything) and everything.min() > 0 and everything.max() > 10 * everything.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=min(0.0, float(everything.min(initial=0.0)) * 1.1))  # likelihoods go below
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    _plain(axes)
    return _svg(figure, "Loss by epoch")


def image(image: Image, alt: str) -> Markup:
    """Convert a camera image to an ``img`` element."""
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return _img("jpeg", data.tobytes(), alt)


def _beside(track: Track, left: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Closed line ``left`` metres to the left of the centre line."""
    x = track.x - left * np.sin(track.heading)
    y = track.y + left * np.cos(track.heading)
    return np.append(x, x[0]), np.append(y, y[0])


def _scale_bar(axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], metres: float = 100.0) -> None:
    right, low = float(x.max()), float(y.min())
    axes.plot([right - metres, right], [low, low], color=MUTED, linewidth=1.5, solid_capstyle="butt")
    position = (right - metres / 2, low)
    text = f"{metres:.0f} m"
    axes.annotate(text, position, (0, 4), textcoords="offset points", ha="center", fontsize=8, color=MUTED)


def _curve(drive: Trajectory, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a curve over distance, with gaps where the car was put back, thinned to ``MAX_POINTS``."""
    every = max(1, len(values) // MAX_POINTS)
    keep = np.zeros(len(values), dtype=bool)
    keep[::every] = keep[-1] = True
    jumps = np.flatnonzero(np.diff(drive.stretch) != 0)
    keep[jumps] = keep[np.minimum(jumps + 1, len(values) - 1)] = True
    at = np.searchsorted(np.flatnonzero(keep), jumps, side="right")
    return np.insert(drive.distance[keep], at, np.nan), np.insert(values[keep], at, np.nan)


def _within(axis: tuple[float, float], least: float, greatest: float) -> tuple[float, float]:
    """Ends of an axis within limits. It keeps its length, and has at least a twentieth of a finite range."""
    low, high = max(axis[0], least), min(axis[1], greatest)
    shortest = (greatest - least) / 20 if math.isfinite(greatest - least) else 0.0
    missing = max(axis[1] - axis[0], shortest) - (high - low)
    if high == greatest:
        return max(low - missing, least), high
    return low, min(high + missing, greatest)


def _plain(axes: Any) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.xaxis.label.set(color=MUTED, size=9)
    axes.yaxis.label.set(color=MUTED, size=9)
    axes.patch.set_alpha(0)


def _svg(figure: Figure, alt: str) -> Markup:
    """Inline SVG with text in the font of the page."""
    figure.patch.set_alpha(0)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))


def _png(figure: Figure, alt: str) -> Markup:
    figure.patch.set_alpha(0)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight", metadata={"Software": None})
    return _img("png", stream.getvalue(), alt)


def _img(kind: str, data: bytes, alt: str) -> Markup:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return Markup('<img alt="{}" src="{}">').format(alt, source)
