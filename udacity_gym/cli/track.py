"""``udacity-gym track``: generate tracks and show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from udacity_gym.cli.options import About


@dataclass(frozen=True)
class Options:
    """Generate tracks and show them.

    The option --track of other verbs accepts the file of a track.
    """


@dataclass(frozen=True)
class NewOptions:
    """Generate a new track. The same options give the same track."""

    output: Annotated[Path, About("track file to write", positional=True)]
    seed: Annotated[int, About("seed of the random generator")] = 0
    difficulty: Annotated[
        float, About("difficulty from 0 (wide flat oval) to 1 (narrow winding hill road)")
    ] = 0.5
    length: Annotated[float, About("length of a lap, 400 to 6000 m")] = 1200.0
    curvature: Annotated[float | None, About("curvature of the sharpest bend, 1/60 to 1/10 per metre")] = None
    hills: Annotated[float | None, About("steepest slope, 0 to 0.25")] = None
    width: Annotated[float | None, About("width of the road surface, 7.2 to 14 m")] = None
    markings: Annotated[Literal["edges", "lanes"], About("edge lines as on the lake track, or two lanes")] = (
        "edges"
    )
    surroundings: Annotated[str | None, About("scenery: meadow, forest, desert or mountain")] = None


def new(options: NewOptions) -> int:
    """Generate a track."""
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
    """Print the properties of a track, and draw a map with its heights."""

    track: Annotated[str, About("name of a track, or a track file", positional=True)]
    output: Annotated[Path | None, About("image file: png, svg, pdf or jpg; default: name of the track")] = (
        None
    )


def show(options: ShowOptions) -> int:
    """Print the properties of a track."""
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
        "sharpest bend": f"{1 / sharpest:.0f} m radius" if sharpest else "none",
        "heights": f"{float(np.ptp(track.z)):.0f} m between lowest and highest, {grade:.0%} steepest slope",
        "design speed": "not given" if speed is None else f"{speed:g} m/s",
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())


VERBS: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "new": (NewOptions, new),
    "show": (ShowOptions, show),
}
