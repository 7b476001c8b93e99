"""A map of a track, and its heights along the lap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from udacity_gym.errors import OptionError
from udacity_gym.files import replacing
from udacity_gym.installation import missing
from udacity_gym.world.track.track import Track

try:
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
except ImportError as error:
    raise missing("matplotlib", "a map of a track", error=error) from error

SUFFIXES = (".png", ".svg", ".pdf", ".jpg")


def draw_map(track: Track, path: str | Path) -> Path:
    """Draw a track from above, coloured by height, with its start poses, and its heights along the lap.

    Args:
        track: the track.
        path: where to write the image: png, svg, pdf or jpg.

    Returns:
        The path.

    Raises:
        OptionError: The image can't have such a format.
        UdacityGymError: It can't be written there.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"a map is one of {', '.join(SUFFIXES)}, not {path.name!r}")
    figure = Figure(figsize=(8.0, 7.0), dpi=110, layout="constrained")
    plan, profile = figure.subplots(2, 1, height_ratios=(4, 1))
    _plan(plan, track)
    s, z = np.append(track.s, track.length), np.append(track.z, track.z[0])
    profile.fill_between(s, z, z.min() - 1.0, color="#a8b8a0", linewidth=0)
    profile.plot(s, z, color="#3e4c59", linewidth=1.0)
    profile.set(xlabel="m along the track", ylabel="m up", xlim=(0, track.length))
    profile.set_ylim(z.min() - 1.0, max(z.max() + 1.0, z.min() + 5.0))
    with replacing(path) as part:
        figure.savefig(part)
    return path


def _plan(axes: Any, track: Track) -> None:
    loop = np.stack([np.append(track.x, track.x[0]), np.append(track.y, track.y[0])], axis=1)
    pieces = np.stack([loop[:-1], loop[1:]], axis=1)
    axes.add_collection(LineCollection(list(pieces), colors="#1f2933", linewidths=6.0))
    lines = LineCollection(list(pieces), array=track.z, cmap="summer", linewidths=4.0)
    axes.add_collection(lines)
    for mode, (s, offset) in track.starts.items():
        pose, ahead = track.pose_at(s, offset), track.pose_at(s + 0.03 * track.length, offset)
        arrow = {"arrowstyle": "-|>", "color": "#dc2626", "linewidth": 1.5}
        axes.annotate("", (ahead.x, ahead.y), (pose.x, pose.y), arrowprops=arrow)
        label = f"{mode} start"
        axes.annotate(label, (pose.x, pose.y), (6, 6), textcoords="offset points", fontsize=8)
    axes.autoscale()
    axes.set_aspect("equal")
    way = "" if track.direction == "forward" else ", in reverse"
    axes.set(xlabel="m east", ylabel="m north", title=f"{track.name}, {track.length:.0f} m{way}")
    if np.ptp(track.z) > 0.5:
        axes.figure.colorbar(lines, ax=axes, label="m up", shrink=0.7)
