"""Working memory of the renderer, which all kernels share: a block of columns, and planes of the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import LANES

SAMPLES = 91
"""Samples of a terrain profile."""
FIRST_SAMPLES = (1.0, 2.0, 3.0)
"""m from the camera to the first samples of a profile."""
GEOMETRIC_FROM, GEOMETRIC_TO = 4.0, 640.0
"""m from the camera between which each sample of a profile is the same ratio farther than the one before: 6
%. Fog is complete at 600 m."""

LOW, HIGH = np.uint64(0), np.uint64(1)
"""Columns of `Scratch.span`: smallest and greatest distance from the centre line."""

CORNERS = 6
"""Corners that a quadrilateral can have after clipping, and one to spare."""
RIGHT, UP, FORWARD = range(3)
"""Columns of `Scratch.corners` before the projection: m along the camera's axes."""
COLUMN, ROW = range(2)
"""Columns of `Scratch.corners` after the projection: pixels."""

VISIBLE_CARDS = 1024
"""Cards that an image can show; those beyond that, in the order of the scene, are left out."""
CARD_BINS = 64
"""Bins of the counting sort of cards by depth: eight to an octave."""
CARD_DEPTH, CARD_MIDDLE, CARD_FOOT, CARD_WIDTH, CARD_HEIGHT, CARD_VARIANT, CARD_BIN = range(7)
"""Columns of `Scratch.cards`: m, pixel column of the middle, pixel row of the foot, pixels, pixels, index of
the picture, bin of the sort."""
CARD_FIELDS = 7
"""Columns of `Scratch.cards`."""


class Scratch(NamedTuple):
    """Working memory of one renderer, allocated once.

    Most arrays hold a block of `LANES` pixel columns, and are (rows, LANES) float32 if nothing else is said.

    Attributes:
        distances: (SAMPLES,) float32 m, see `sample_distances`.
        inverse_distances: (SAMPLES,) float32 1/m.
        inverse_gaps: (SAMPLES,) float32, inverse of the distance from the sample before.
        drops: (SAMPLES,) float32 m, height of the ground above the camera along one column.
        level_from: (LANES,) int32, row from which on down a column shows level ground alone.
        levels: (LANES,) float32 m, height of that ground above the camera.
        covered: (rows,) int32, how many of a row's pixels show the ground, or a bridge.
        t: m, depth along the optical axis; `profile.SKY` where there is no ground.
        slope: rise of the ground per m of depth; `surface.DECK` on bridges.
        s: m along the track.
        d: m to the right of the centre line.
        cosines, sines: of the track's heading there.
        span: (rows, 2) float32 m, see `LOW`.
        lifted: (rows,) int32, 1 where the kerb has moved what a row shows.
        along, across: m, how far a pixel extends along the track and across it.
        red, green, blue: colour, [0, 255] and above.
        road: share of the pixel that is road or kerb.
        reflections: `paint.reflection` of the road in the sun.
        found: (LANES,) int32, labels of a row's pixels.
        depth: (height, width) float32 m, of the whole image.
        labels: (height, width) uint8, what stands upright, see `sensors.Label`; the ground is `SKY` until
            `survey` looks at it.
        corners: (CORNERS, 3) float32, a face after clipping.
        cards: (VISIBLE_CARDS, CARD_FIELDS) float32, cards in the image.
        counts: (CARD_BINS + 1,) int64, cards in the bins.
        order: (VISIBLE_CARDS,) int64, rows of ``cards``, nearest first.
    """

    distances: NDArray[np.float32]
    inverse_distances: NDArray[np.float32]
    inverse_gaps: NDArray[np.float32]
    drops: NDArray[np.float32]
    level_from: NDArray[np.int32]
    levels: NDArray[np.float32]
    covered: NDArray[np.int32]
    t: NDArray[np.float32]
    slope: NDArray[np.float32]
    s: NDArray[np.float32]
    d: NDArray[np.float32]
    cosines: NDArray[np.float32]
    sines: NDArray[np.float32]
    span: NDArray[np.float32]
    lifted: NDArray[np.int32]
    along: NDArray[np.float32]
    across: NDArray[np.float32]
    red: NDArray[np.float32]
    green: NDArray[np.float32]
    blue: NDArray[np.float32]
    road: NDArray[np.float32]
    reflections: NDArray[np.float32]
    found: NDArray[np.int32]
    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    corners: NDArray[np.float32]
    cards: NDArray[np.float32]
    counts: NDArray[np.int64]
    order: NDArray[np.int64]

    @staticmethod
    def for_images(width: int, height: int) -> Scratch:
        """Allocate the working memory for images of a size."""
        distances = sample_distances(SAMPLES)

        def plane() -> NDArray[np.float32]:
            return np.zeros((height, LANES), np.float32)

        return Scratch(
            distances=distances,
            inverse_distances=(1 / distances).astype(np.float32),
            inverse_gaps=(1 / np.diff(distances, prepend=0)).astype(np.float32),
            drops=np.zeros(SAMPLES, np.float32),
            level_from=np.zeros(LANES, np.int32),
            levels=np.zeros(LANES, np.float32),
            covered=np.zeros(height, np.int32),
            t=plane(),
            slope=plane(),
            s=plane(),
            d=plane(),
            cosines=plane(),
            sines=plane(),
            span=np.zeros((height, 2), np.float32),
            lifted=np.zeros(height, np.int32),
            along=plane(),
            across=plane(),
            red=plane(),
            green=plane(),
            blue=plane(),
            road=plane(),
            reflections=plane(),
            found=np.zeros(LANES, np.int32),
            depth=np.zeros((height, width), np.float32),
            labels=np.zeros((height, width), np.uint8),
            corners=np.zeros((CORNERS, 3), np.float32),
            cards=np.zeros((VISIBLE_CARDS, CARD_FIELDS), np.float32),
            counts=np.zeros(CARD_BINS + 1, np.int64),
            order=np.zeros(VISIBLE_CARDS, np.int64),
        )


def sample_distances(count: int) -> NDArray[np.float32]:
    """Distances of a profile's samples, farther and farther apart.

    Args:
        count: how many.

    Returns:
        (count,) float32, m along the optical axis.
    """
    far = np.geomspace(GEOMETRIC_FROM, GEOMETRIC_TO, count - len(FIRST_SAMPLES))
    return np.concatenate([FIRST_SAMPLES, far]).astype(np.float32)
