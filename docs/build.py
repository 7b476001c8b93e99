"""Make what the docs show from the library: python docs/build.py [WHAT [...]]."""

from __future__ import annotations

import argparse
import inspect
import tempfile
from pathlib import Path

import cv2
import gymnasium
import numpy as np

from udacity_gym.env import UdacityEnv
from udacity_gym.experts import PurePursuit, racing_line
from udacity_gym.recording import open_recording, record, tools
from udacity_gym.recording.plot import plot
from udacity_gym.telemetry import CAMERAS, Image
from udacity_gym.world.rendering.camera import CameraRig
from udacity_gym.world.scene.car_body import CarState
from udacity_gym.world.track.track import Track

DOCS = Path(__file__).parent
WHAT = {
    "page": "the page of the environment, from its docstring",
    "images": "images of README, recordings and experts",
    "gallery": "images of every track",
    "cockpit": "pictures of the cockpit, in a browser, and the notebooks, which contain them",
    "tutorial": "run the lessons; write their pictures, what they print, and the notebooks",
    "notebooks": "the tutorial's notebooks, from its pages",
}
"""What can be made."""
HELP = "; ".join(f"{name}: {about}" for name, about in WHAT.items())
HEADER = (
    "<!-- Made from the docstring of udacity_gym.env.UdacityEnv by `python docs/build.py`; edit it there. -->"
)


def environment_page() -> str:
    """The environment's page: its class docstring, word for word."""
    return f"{HEADER}\n\n# UdacitySim-v0\n\n{inspect.getdoc(UdacityEnv)}\n"


def images() -> dict[str, Image]:
    """Images of the lake track by file name, (height, width, 3) uint8 RGB."""
    track = Track.load("lake")
    rig = CameraRig(track)
    start = track.pose_at(1000.0)
    seen = rig.draw_all(start, CAMERAS, "autonomous")
    three = np.hstack([seen[name] for name in ("left", "center", "right")])
    around = [
        rig.draw(track.pose_at(s), "center", "autonomous") for s in (0.0, 90.0, 480.0, 640.0, 740.0, 860.0)
    ]
    lap = np.vstack([np.hstack(around[:3]), np.hstack(around[3:])])
    chase = rig.view("chase", start, three.shape[1], 400, CarState(steering=0.5))
    return {"cameras.jpg": np.vstack([three, chase]), "lake.jpg": lap}


def recording_image(path: Path) -> None:
    """The page that ``udacity-gym data plot`` draws, of a lap and a bit by the built-in expert."""
    with tempfile.TemporaryDirectory() as folder:
        drive = Path(folder) / "my-drive"
        env = gymnasium.make("UdacitySim-v0", track="lake", cameras=CAMERAS, mode="training")
        record(env, PurePursuit(speed=11.0), drive, laps=1, seed=0)
        record(env, PurePursuit(speed=8.0), drive, seconds=40, seed=1, append=True)
        env.close()
        tools.balance(drive)
        plot(open_recording(drive), path, open_recording(drive, edits=False))


def racing_line_image(path: Path) -> None:
    """The jungle from above, with the lines that `Racing` drives in its lane and on the whole road."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    track = Track.load("jungle")
    right = np.stack([np.sin(track.heading), -np.cos(track.heading)])
    centre = np.stack([track.x, track.y])
    figure, panels = plt.subplots(1, 2, figsize=(12, 5.2), sharey=True, layout="constrained")
    for panel, within in zip(panels, ("lane", "road"), strict=True):
        line = racing_line(track, within)
        for side in (-1, 1):
            panel.plot(*(centre + side * track.half_width * right), color="0.6", linewidth=0.8)
        lateral = np.abs(line.curvature) * line.speed**2
        dots = panel.scatter(*(centre + line.offset * right), c=lateral, s=2, cmap="viridis", vmin=0, vmax=20)
        panel.set(aspect="equal", title=f'within="{within}": {line.lap_time:.1f} s', xlabel="m east")
    panels[0].set_ylabel("m north")
    figure.colorbar(dots, ax=panels, label="lateral acceleration, m/s²", shrink=0.8)
    figure.savefig(path, dpi=90, pil_kwargs={"quality": 88})
    plt.close(figure)


def main() -> None:
    """Write the page and, if asked for, images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=list(WHAT), default="page", help=HELP)
    parser.add_argument(
        "which", nargs="*", help="tracks of the gallery, lessons of the tutorial; all if none"
    )
    options = parser.parse_args()
    what = options.what
    (DOCS / "environment.md").write_text(environment_page(), encoding="utf-8")
    if what == "images":
        (DOCS / "images").mkdir(exist_ok=True)
        for name, image in images().items():
            cv2.imwrite(str(DOCS / "images" / name), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        recording_image(DOCS / "images" / "recording.jpg")
        racing_line_image(DOCS / "images" / "racing-line.jpg")
    elif what == "gallery":
        import gallery  # lies beside this file

        gallery.build(tuple(options.which))
    elif what == "cockpit":
        import cockpit_pictures
        import notebooks

        cockpit_pictures.build()
        notebooks.write_notebooks()  # which contain them
    elif what == "tutorial":
        import notebooks

        notebooks.build(tuple(options.which))
    elif what == "notebooks":
        import notebooks

        notebooks.write_notebooks()


if __name__ == "__main__":
    main()
