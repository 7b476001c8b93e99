"""Where the results of a training are shown while it runs: `Tracker`, and trackers by name."""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError
from udacity_gym.installation import require
from udacity_gym.registry import Registry


@runtime_checkable
class Tracker(Protocol):
    """Shows the results of a training."""

    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Show numbers and texts by name.

        Args:
            values: such as ``{"loss/train": 0.02}``.
            step: number of the epoch or the round.
        """
        ...

    def image(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Show an image, (height, width, 3) uint8 RGB."""
        ...

    def video(self, name: str, frames: NDArray[np.uint8], step: int, fps: int = 15) -> None:
        """Show a video, (frames, height, width, 3) uint8 RGB."""
        ...

    def artefact(self, name: str, path: str | Path) -> None:
        """Keep a file or a folder, such as the best policy."""
        ...

    def finish(self) -> None:
        """Write what is not yet written."""
        ...


def log_numbers(tracker: Tracker, numbers: Mapping[str, float | None], step: int) -> None:
    """Log numbers by name; those that are None, because nobody measured them, are left out."""
    tracker.log({name: float(value) for name, value in numbers.items() if value is not None}, step)


TrackerMaker: TypeAlias = Callable[[Path, int], Tracker]
"""``make(folder, steps)`` makes the tracker of a training in a folder, which has finished some steps."""

TrackerLike: TypeAlias = str | Tracker
"""The name of a tracker, see `TRACKERS`; or a tracker, which is not finished by whoever logs to it."""

TRACKERS: Registry[TrackerMaker] = Registry(
    "tracker",
    {"tensorboard": "algorithms.tracking:TensorBoard", "wandb": "algorithms.tracking:WandB"},
    expected="a function of folder and number of finished steps that returns a Tracker",
    group="udacity_gym.trackers",
)
"""Trackers by name."""


class TensorBoard:
    """Logs for TensorBoard, in the folder ``tensorboard`` of a training."""

    def __init__(self, folder: Path, steps: int = 0) -> None:
        """Open a log.

        Args:
            folder: folder of the training.
            steps: finished steps; later ones, of a training that was interrupted, are logged again.
        """
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=steps + 1)

    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Show numbers and texts, see `Tracker.log`."""
        for name, value in values.items():
            if isinstance(value, str):
                self._writer.add_text(name, value, step)
            else:
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def image(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Show an image, see `Tracker.image`."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def video(self, name: str, frames: NDArray[np.uint8], step: int, fps: int = 15) -> None:
        """Show a video as an animated image, see `Tracker.video`."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        height, width = frames.shape[1:3]
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=_gif(frames, fps)
        )
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def artefact(self, name: str, path: str | Path) -> None:
        """Show where a file is; TensorBoard keeps none."""
        self._writer.add_text(f"artefacts/{name}", str(path))

    def finish(self) -> None:
        """Close the log."""
        self._writer.close()


class WandB:
    """Logs for Weights & Biases (the extra "wandb"); ``WANDB_PROJECT``, ``WANDB_MODE`` and others say where.

    A training that goes on in the same folder goes on with the same run.
    """

    def __init__(self, folder: Path, steps: int = 0) -> None:
        """Begin or go on with a run.

        Args:
            folder: folder of the training; files of the run are in ``wandb`` there.
            steps: finished steps.
        """
        self._wandb: Any = require("wandb", "the tracker of Weights & Biases")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        marker = folder / "wandb-run.txt"
        run_id = marker.read_text().strip() if marker.exists() else secrets.token_hex(4)
        marker.write_text(f"{run_id}\n")
        self._run: Any = self._wandb.init(dir=str(folder), id=run_id, resume="allow", name=folder.name)

    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Show numbers and texts, see `Tracker.log`."""
        numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
        self._run.log(numbers, step=step)
        self._run.summary.update({name: value for name, value in values.items() if isinstance(value, str)})

    def image(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Show an image, see `Tracker.image`."""
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def video(self, name: str, frames: NDArray[np.uint8], step: int, fps: int = 15) -> None:
        """Show a video, see `Tracker.video`."""
        gif = self._wandb.Video(io.BytesIO(_gif(frames, fps)), format="gif")
        self._run.log({name: gif}, step=step)

    def artefact(self, name: str, path: str | Path) -> None:
        """Keep a file or a folder, see `Tracker.artefact`."""
        artefact = self._wandb.Artifact(name, type="result")
        (artefact.add_dir if Path(path).is_dir() else artefact.add_file)(str(path))
        self._run.log_artifact(artefact)

    def finish(self) -> None:
        """End the run."""
        self._run.finish()


def check_tracker(tracker: object) -> None:
    """Check a tracker or its name before a training begins.

    Raises:
        OptionError: It is neither.
    """
    if isinstance(tracker, str):
        TRACKERS.check("tracker", tracker)
    elif not isinstance(tracker, Tracker) or isinstance(tracker, type):
        raise OptionError(
            f"tracker must be one of {', '.join(TRACKERS.names())}, or an object with log, image, video, "
            f"artefact and finish, got {tracker!r}"
        )


@contextlib.contextmanager
def open_tracker(tracker: TrackerLike, folder: Path | None, steps: int = 0) -> Iterator[Tracker | None]:
    """The tracker of a training, for the length of a block.

    Args:
        tracker: a name, whose tracker is finished at the end; or a tracker, which is not.
        folder: folder of the training; without one, a name tracks nothing.
        steps: steps that the training has finished.
    """
    if not isinstance(tracker, str):
        yield tracker
    elif folder is None:
        yield None
    else:
        opened = TRACKERS.find(tracker)(folder, steps)
        try:
            yield opened
        finally:
            opened.finish()


def _gif(frames: NDArray[np.uint8], fps: int) -> bytes:
    """An animated GIF."""
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0)
    return file.getvalue()
