"""`Batch`: what a policy's loss gets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """A batch for one step of the optimizer. Its length is `size`, not ``len``.

    Attributes:
        images: (n, height, width, 3) uint8 prepared images; with past frames or several cameras
            (n, frames * cameras, height, width, 3), the oldest frame first, the cameras of a frame together.
        measurements: (n, inputs) float32 in SI units.
        targets: (n, actions) float32 in [-1, 1], steering first; with a ``chunk_size`` above 1
            (n, chunk_size, actions), the present step first.
        valid: (n, chunk_size) bool, false for steps after the end of the episode, whose targets repeat the
            last one.
    """

    images: Tensor
    measurements: Tensor
    targets: Tensor
    valid: Tensor

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.images)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(column.to(device, non_blocking=True) for column in self))

    def split(self, parts: int) -> list[Batch]:
        """Parts of nearly the same size, in order."""
        columns = (column.tensor_split(parts) for column in self)
        return [Batch(*part) for part in zip(*columns, strict=True)]
