"""Training data for other programs: episodes of arrays, and `FrameDataset`, a data set of torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.episodes import Episode
from udacity_gym.recording.side_file import SideFile
from udacity_gym.recording.storage import FolderStorage
from udacity_gym.telemetry import MPH, Image

if TYPE_CHECKING:
    from algorithms.training.data import Frames

IN_MEMORY = Path("arrays in memory")
"""What stands for the log of episodes that were never in a file."""


class ArrayEpisode(Episode):
    """An episode whose images are arrays in memory.

    Args:
        images: (n, height, width, 3) uint8 RGB by camera; not copied.
        columns: (n,) float64 "steering", "throttle", "brake", "speed" (m/s) and "time" (s).
        row: (n,) int64 numbers of the rows, from 1.
        unrecorded: names of the columns that are unknown, with 0 in their place.
    """

    def __init__(
        self,
        images: Mapping[str, Image],
        columns: Mapping[str, NDArray[np.float64]],
        row: NDArray[np.int64],
        unrecorded: Collection[str] = (),
    ) -> None:
        storage = FolderStorage(IN_MEMORY)
        names = {camera: np.zeros(len(row), "S1") for camera in images}
        columns = {**columns, "speed_mph": columns["speed"] / MPH}
        super().__init__(IN_MEMORY, names, columns, row, SideFile(storage, None), storage, unrecorded)
        self._arrays = dict(images)
        self._columns = dict(columns)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._take(index)
        return super().__getitem__(index)

    def select(self, keep: NDArray[np.bool_]) -> ArrayEpisode:
        """The frames at which ``keep``, (n,) bool, is true."""
        return self._take(np.flatnonzero(keep))

    def _take(self, rows: Any) -> ArrayEpisode:
        return ArrayEpisode(
            {camera: array[rows] for camera, array in self._arrays.items()},
            {name: column[rows] for name, column in self._columns.items()},
            self.row[rows],
            self.unrecorded,
        )

    def image(self, camera: str, index: int) -> Image:
        """The image of one camera."""
        image: Image = self._array(camera)[index]
        return image

    def data(self, camera: str, index: int) -> bytes:
        """The bytes of an image."""
        return self.image(camera, index).tobytes()

    def path(self, camera: str, index: int) -> Path:
        """There is no file.

        Raises:
            RecordingError: Always.
        """
        raise RecordingError("these frames are arrays in memory, they have no files")

    def name(self, camera: str, index: int) -> str:
        """A name that follows from the place and the content of an image."""
        return f"{camera}_{self.row[index]:08d}_{zlib.crc32(self.data(camera, index)):08x}"

    def extras(self) -> list[dict[str, Any]]:
        """There is no side file."""
        return [{} for _ in range(len(self))]

    def extra(self, index: int) -> dict[str, Any]:
        """There is no side file."""
        return {}

    def _array(self, camera: str) -> Image:
        if camera not in self._arrays:
            raise RecordingError(
                f"there are no images of a camera {camera!r}, only {', '.join(self.cameras)}"
            )
        return self._arrays[camera]


def read_arrays(
    images: Image | Mapping[str, Image],
    actions: NDArray[Any],
    speed: NDArray[Any] | None,
    episode_starts: NDArray[Any] | None,
    dt: float,
) -> list[ArrayEpisode]:
    """Make episodes of arrays, see `Frames.from_arrays`.

    Raises:
        OptionError: An array has another shape, dtype or range than described.
    """
    by_camera = dict(images) if isinstance(images, Mapping) else {"center": images}
    actions = np.asarray(actions, np.float64)
    n = len(actions)
    if not n or actions.ndim != 2 or actions.shape[1] not in (1, 2):
        raise OptionError(
            f"actions must be (n, 2), steering and throttle, or (n, 1), steering; got {actions.shape}"
        )
    _check_range("actions", actions, -1.0, 1.0)
    for camera, array in by_camera.items():
        shape, dtype = np.shape(array), getattr(array, "dtype", type(array).__name__)
        if len(shape) != 4 or shape[0] != n or shape[3] != 3 or dtype != np.uint8:
            raise OptionError(
                f"images of the {camera} camera must be ({n}, height, width, 3) uint8 RGB, one for each of "
                f"{n} actions; got {shape} {dtype}"
            )
    speeds = np.zeros(n) if speed is None else np.asarray(speed, np.float64)
    starts = np.zeros(n, np.bool_) if episode_starts is None else np.asarray(episode_starts, np.bool_).copy()
    for name, column in (("speed", speeds), ("episode_starts", starts)):
        if column.shape != (n,):
            raise OptionError(f"{name} must be ({n},), one for each action; got {column.shape}")
    _check_range("speed", speeds, 0.0, np.inf)
    starts[0] = True
    throttle = actions[:, 1] if actions.shape[1] == 2 else np.zeros(n)
    columns: dict[str, NDArray[np.float64]] = {
        "steering": actions[:, 0],
        "throttle": np.maximum(throttle, 0.0),
        "brake": np.maximum(-throttle, 0.0),
        "speed": speeds,
        "time": np.asarray(np.arange(n) * dt, np.float64),
    }
    unrecorded = [] if speed is not None and speeds.any() else ["speed"]
    unrecorded += ["throttle", "brake"] if actions.shape[1] == 1 else []
    parts = np.split(np.arange(n), np.flatnonzero(starts)[1:])
    return [
        ArrayEpisode(
            {camera: array[part] for camera, array in by_camera.items()},
            {name: column[part] for name, column in columns.items()},
            part + 1,
            unrecorded,
        )
        for part in parts
    ]


def _check_range(name: str, values: NDArray[np.float64], low: float, high: float) -> None:
    bad = np.argwhere(~(np.isfinite(values) & (values >= low) & (values <= high)))
    if len(bad):
        row = int(bad[0][0])
        raise OptionError(f"{name} must lie in [{low:g}, {high:g}], row {row} has {values[row].tolist()}")


class FrameDataset(Dataset[tuple[Tensor, Tensor]]):
    """Frames as a data set of torch, for training loops of your own.

    An item is an image, (3, height, width) float32 in [0, 1], and its labels, (len(actions),) float32. Images
    are decoded when they are asked for, so a ``DataLoader`` may do it in several workers.

    Args:
        frames: the rows.
        actions: labels, "steering", "throttle" or both.
        camera: camera of the images.
        prepare: what is done to each image before, from (height, width, 3) uint8 to another size, such as
            `algorithms.Preprocessing` or `udacity_gym.recording.Downscale`.

    Raises:
        OptionError: There are no images of the camera.
    """

    def __init__(
        self,
        frames: Frames,
        actions: tuple[str, ...] = ("steering", "throttle"),
        camera: str = "center",
        prepare: Callable[[Image], Image] | None = None,
    ) -> None:
        if camera not in frames.cameras:
            raise OptionError(f"there are no images of a camera {camera!r}, only {', '.join(frames.cameras)}")
        self.frames, self.camera, self.prepare = frames, camera, prepare
        self._labels = frames.columns(actions)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        image = self.frames.image(range(len(self))[row], self.camera)
        if self.prepare is not None:
            image = self.prepare(image)
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0)))
        return pixels.float() / 255.0, torch.from_numpy(self._labels[row])
