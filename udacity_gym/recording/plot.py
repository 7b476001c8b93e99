"""Plots of a recording: steering, speed, path of the car, and images."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.files import replacing
from udacity_gym.installation import missing
from udacity_gym.recording.balance import BINS, balanced
from udacity_gym.recording.episodes import Episode, Frame, Recording
from udacity_gym.telemetry import CAMERAS, Image
from udacity_gym.text import count

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise missing("matplotlib", "a plot of a recording", error=error) from error

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, AMBER, GREY = "#2563eb", "#d97706", "#cbd2d9"
MOST_POINTS = 4000
"""Maximum number of points of a curve; no page shows more."""
ENDINGS = (".png", ".svg", ".pdf", ".jpg")


def plot(
    recording: Recording,
    output: str | PathLike[str],
    before: Recording | None = None,
    bins: int = BINS,
    images: int = 6,
) -> Path:
    """Plot a recording on one page.

    The page has a histogram of steering before and after balancing, the speed over time, the path of the car
    if the side file has poses, and a contact sheet of the cameras.

    Args:
        recording: recording, with its edits.
        output: file to write: png, svg, pdf or jpg.
        before: the same recording without its edits, for comparison. Without it, or if the edits leave out
            nothing, the comparison is with the frames that `balance` would keep.
        bins: number of bins of the histogram.
        images: number of columns of the contact sheet.

    Returns:
        The path of the file.

    Raises:
        RecordingError: An image can't be read, or the file can't be written.
    """
    output = Path(output)
    if output.suffix.lower() not in ENDINGS:
        raise RecordingError(f"{output} must end with one of {', '.join(ENDINGS)}")
    cameras = [camera for camera in ("left", "center", "right") if camera in recording.cameras]
    figure = Figure(figsize=(11, 6.2 + 1.0 * len(cameras)), dpi=130, facecolor="white")
    grid = figure.add_gridspec(2, 1, height_ratios=[4.6, 1.0 * len(cameras)], hspace=0.14)
    positions = _positions(recording)
    upper = grid[0].subgridspec(2, 2 if positions else 1, wspace=0.2, hspace=0.42)
    _plot_steering(figure.add_subplot(upper[0, 0]), recording, before, bins)
    _plot_speed(figure.add_subplot(upper[1, 0]), recording)
    if positions:
        _plot_path(figure.add_subplot(upper[:, 1]), positions)
    sheet = figure.add_subplot(grid[1])
    sheet.imshow(contact_sheet(recording, images), interpolation="antialiased")
    sheet.set_axis_off()
    rows = " / ".join(cameras)
    sheet.set_title(f"Images of {rows}, from beginning to end", fontsize=10, color=INK, loc="left")
    frames, episodes = count(len(recording), "frame"), count(len(recording.episodes), "episode")
    title = f"{recording.path.name}: {frames}, {episodes}"
    figure.suptitle(title, x=0.125, y=0.96, ha="left", fontsize=13, color=INK)
    with replacing(output, RecordingError) as part:
        figure.savefig(part, bbox_inches="tight")
    return output


def contact_sheet(recording: Recording, columns: int = 6) -> Image:
    """Images spread evenly over a recording, a row for each camera: left, center, right.

    Args:
        recording: recording whose images have one size.
        columns: number of frames that are shown.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    frames = [frame for episode in recording.episodes for frame in _evenly(episode, recording, columns)]
    frames = [frames[i] for i in np.linspace(0, len(frames) - 1, min(columns, len(frames))).astype(int)]
    cameras = [camera for camera in (CAMERAS[1], CAMERAS[0], CAMERAS[2]) if camera in recording.cameras]
    first = frames[0].image(cameras[0]).shape
    height, width = first[0] + 4, first[1] + 4
    sheet = np.full((height * len(cameras) - 4, width * len(frames) - 4, 3), 255, np.uint8)
    for row, camera in enumerate(cameras):
        for column, frame in enumerate(frames):
            image = frame.image(camera)[: first[0], : first[1]]
            top, left = row * height, column * width
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def _evenly(episode: Episode, recording: Recording, columns: int) -> list[Frame]:
    """Frames of one episode, more than are shown, so that the final choice is even."""
    count = max(1, round(4 * columns * len(episode) / len(recording)))
    return [episode[int(i)] for i in np.linspace(0, len(episode) - 1, min(count, len(episode)))]


def _plot_steering(axes: Axes, recording: Recording, before: Recording | None, bins: int) -> None:
    steering = np.concatenate([episode.steering for episode in recording.episodes])
    edges = np.linspace(-1, 1, bins + 1).tolist()
    if before is not None and len(before) > len(recording):
        all_of_it = np.concatenate([episode.steering for episode in before.episodes])
        names = (f"as recorded ({len(all_of_it)})", f"after the edits ({len(steering)})")
    else:
        all_of_it, steering = steering, steering[balanced(steering, bins)]
        names = (f"recorded ({len(all_of_it)})", f"balanced ({len(steering)})")
    axes.hist(all_of_it, edges, color=GREY, label=names[0])
    axes.hist(steering, edges, color=BLUE, label=names[1])
    axes.set_yscale("log")
    _style(axes, "Steering, negative is left", "frames")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right")


def _plot_speed(axes: Axes, recording: Recording) -> None:
    begin = 0.0
    for number, episode in enumerate(recording.episodes):
        step = max(1, len(recording) // MOST_POINTS)
        colour = BLUE if number % 2 == 0 else AMBER
        axes.plot(begin + episode.time[::step], episode.speed[::step], color=colour, linewidth=0.9)
        begin += float(episode.time[-1])
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    _style(axes, "Speed over driven time, s (episodes in turn)", "m/s")


def _plot_path(axes: Axes, positions: list[NDArray[np.float64]]) -> None:
    total = sum(map(len, positions))
    for number, path in enumerate(positions):
        colour = BLUE if number % 2 == 0 else AMBER
        axes.plot(*path[:: max(1, total // MOST_POINTS)].T, color=colour, linewidth=1.1)
        axes.plot(*path[0], "o", color=colour, markersize=4)
    axes.set_aspect("equal", adjustable="datalim")
    _style(axes, "Path of the car, m (dots: starts of episodes)", "")


def _positions(recording: Recording) -> list[NDArray[np.float64]]:
    """(n, 2) position east and north of every episode with poses in the side file, m."""
    ways = []
    for episode in recording.episodes:
        poses = [extra["pose"][:2] for extra in episode.extras() if len(extra.get("pose", ())) >= 2]
        if poses:
            ways.append(np.array(poses, np.float64))
    return ways


def _style(axes: Axes, title: str, y: str) -> None:
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_ylabel(y, fontsize=8, color=MUTED)
    axes.tick_params(which="both", labelsize=8, colors=MUTED, length=0)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
