"""The gallery: images of every track, and the page that shows them; made by `docs/build.py gallery`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from udacity_gym.conditions import NAMED
from udacity_gym.sensors import colour_depth, colour_labels
from udacity_gym.telemetry import Image
from udacity_gym.world.rendering.camera import CameraRig
from udacity_gym.world.scene.car_body import CarState
from udacity_gym.world.track.track import Track, built_in_tracks

DOCS = Path(__file__).parent
FOLDER = DOCS / "images" / "gallery"
QUALITY = 72
"""Of the WebP files: 1.5 MB are enough for the gallery."""
SHOWN = (
    "clear", "overcast", "rain", "heavy_rain", "mist", "fog", "snow", "ice", "dawn", "noon", "dusk", "night",
    "rainy_night", "low_sun", "worn_road", "dark", "bright", "noisy",
)  # fmt: skip
PAGE = """\
<!-- Made by `python docs/build.py gallery`. -->

# Gallery

Images of all cameras, drawn on the CPU at 320x160, as policies get them. Only the chase view is larger.
"""
SECTION = """
## {title}

{length:.0f} m, in autonomous mode, from places on the reference line around the lap:

![Twelve images around the lap](images/gallery/{name}-lap.webp)

The three cameras with depth (light is near) and segmentation: `sensors=("depth", "segmentation")`.

![Left, centre and right camera, depth and segmentation](images/gallery/{name}-sensors.webp)

The chase view of `render()`:

![Chase view](images/gallery/{name}-chase.webp)

The same place in eighteen [conditions](conditions.md):

![The same place in eighteen conditions](images/gallery/{name}-conditions.webp)
"""


def build(tracks: tuple[str, ...] = ()) -> None:
    """Write the images of some tracks, and the page of all that have images.

    Args:
        tracks: names of built-in tracks; none means all there are.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in tracks or built_in_tracks():
        track = Track.load(name)
        for kind, image in images(track).items():
            path = FOLDER / f"{name}-{kind}.webp"
            cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    page = PAGE
    for name in sorted(built_in_tracks(), key=lambda name: (name != "lake", name)):
        if (FOLDER / f"{name}-lap.webp").exists():
            page += SECTION.format(name=name, title=name.capitalize(), length=Track.load(name).length)
    (DOCS / "gallery.md").write_text(page, encoding="utf-8")


def images(track: Track) -> dict[str, Image]:
    """Sheets of a track by what they show, (height, width, 3) uint8 RGB."""
    rig, offset = CameraRig(track), track.reference_offset
    around = [track.pose_at(s, offset) for s in np.linspace(0.0, track.length, 12, endpoint=False)]
    places = [around[k] for k in (1, 7)]
    sensed = []
    for pose in places:
        names = [f"{camera}{what}" for camera in ("left", "center", "right") for what in ("", *SENSED)]
        seen = rig.draw_all(pose, names)
        sensed += [
            [show(seen[f"{camera}{what}"]) for camera in ("left", "center", "right")]
            for what in ("", *SENSED)
        ]
    chase = [rig.view("chase", pose, 640, 360, CarState(steering=0.2)) for pose in places]
    chase += [
        rig.view("chase", pose, 640, 360, conditions=NAMED[name])
        for pose, name in zip(places, ("snow", "night"), strict=True)
    ]
    weather = [captioned(rig.draw(places[1], conditions=NAMED[name], seed=1), name) for name in SHOWN]
    return {
        "lap": sheet([rig.draw(pose) for pose in around], 4),
        "sensors": sheet([image for row in sensed for image in row], 3),
        "chase": sheet(chase, 2),
        "conditions": sheet(weather, 3),
    }


SENSED = ("_depth", "_segmentation")


def show(seen: np.ndarray) -> Image:
    """An image of whatever a camera or a sensor tells."""
    if seen.ndim == 3:
        return seen
    return colour_depth(seen) if seen.dtype == np.float32 else colour_labels(seen)


def sheet(seen: list[Image], columns: int) -> Image:
    """Images of one size, row by row."""
    rows = [np.hstack(seen[k : k + columns]) for k in range(0, len(seen), columns)]
    return np.vstack(rows)


def captioned(image: Image, caption: str) -> Image:
    """An image with a word on it."""
    written = np.ascontiguousarray(image)
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(written, caption, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
    return written
