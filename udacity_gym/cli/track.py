"""``udacity-gym track``: make tracks, and look at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from udacity_gym.cli.options import About


@dataclass(frozen=True)
class Options:
    """Make a track from a seed, and see what a track is like.

    Whatever takes a --track takes the file.
    """


@dataclass(frozen=True)
class NewOptions:
    """Make a track that nobody has seen; same options, same track."""

    output: Annotated[Path, About("the track file to write", positional=True)]
    seed: Annotated[int, About("of everything that is drawn")] = 0
    difficulty: Annotated[float, About("from 0, a wide flat oval, to 1, a narrow winding hill road")] = 0.5
    length: Annotated[float, About("m of a lap, 400 to 6000")] = 1200.0
    curvature: Annotated[float | None, About("1/m of the sharpest bend, 1/60 to 1/10")] = None
    hills: Annotated[float | None, About("steepest rise per m of road, 0 to 0.25")] = None
    width: Annotated[float | None, About("m of road surface, 7.2 to 14")] = None
    markings: Annotated[Literal["edges", "lanes"], About("edge lines as on the lake, or two lanes")] = "edges"
    surroundings: Annotated[str | None, About("meadow, forest, desert or mountain")] = None


def new(options: NewOptions) -> int:
    """Make a track."""
    from dataclasses import asdict

    from udacity_gym.world.track.generator import generate_track

    arguments = asdict(options)
    output = arguments.pop("output")
    track = generate_track(**arguments, name=output.stem)
    track.save(output)
    print(_facts(track))
    print(f"\nSaved {output}. Drive on it: udacity-gym evaluate expert --track {output}")
    return 0


@dataclass(frozen=True)
class ShowOptions:
    """Tell what a track is like, and draw a map of it with its heights."""

    track: Annotated[str, About("name of a track, or a track file", positional=True)]
    output: Annotated[Path | None, About("the image: png, svg, pdf or jpg; default: the track's name")] = None


def show(options: ShowOptions) -> int:
    """Tell what a track is like."""
    from udacity_gym.world.track.track import Track
    from udacity_gym.world.track.track_map import draw_map

    track = Track.load(options.track)
    print(_facts(track))
    print(f"\nSaved {draw_map(track, options.output or Path(f'{track.name}.png'))}.")
    return 0


def _facts(track: Any) -> str:
    import numpy as np

    sharpest = float(np.abs(track.curvature).max())
    grade = float(np.abs(np.diff(track.z, append=track.z[0]) / track.ds).max())
    speed = track.design_speed
    lines = {
        "track": track.name,
        "length": f"{track.length:.0f} m",
        "road": f"{2 * track.half_width:.1f} m wide",
        "sharpest bend": f"{1 / sharpest:.0f} m of radius" if sharpest else "none",
        "heights": f"{float(np.ptp(track.z)):.0f} m between lowest and highest, {grade:.0%} at the steepest",
        "design speed": "not stated" if speed is None else f"{speed:g} m/s",
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())


VERBS: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "new": (NewOptions, new),
    "show": (ShowOptions, show),
}
