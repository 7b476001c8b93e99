"""Repeating patterns with all their smaller copies: asphalt, cobblestones, ground.

Each pattern is a square tile of deviations from its mean with standard deviation 1, kept together
with its halvings (mipmaps, Williams 1983) in one array twice as wide as high.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXELS = 256
"""Side of a tile in texels."""
LEVELS = 9
"""A tile and its halvings down to one texel."""
STRIDE = 2 * TEXELS
"""Width of the array that holds a tile and its halvings side by side."""
SIZE = TEXELS * STRIDE
"""Elements of that array."""
ASPHALT, COBBLESTONES, GROUND = 0, SIZE, 2 * SIZE
"""Index of each pattern's first texel in `SceneArrays.textures`."""


def pyramid(tile: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Put a tile and its halvings side by side.

    Args:
        tile: (TEXELS, TEXELS) values.

    Returns:
        (SIZE,) float32.
    """
    atlas = np.zeros((TEXELS, STRIDE), np.float32)
    level = np.asarray(tile, np.float64)
    for k in range(LEVELS):
        left = STRIDE - (STRIDE >> k)
        atlas[: len(level), left : left + len(level)] = level
        if len(level) > 1:
            level = 0.25 * (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2])
    return atlas.ravel()


def coloured_noise(rng: np.random.Generator, exponent: float, largest: float) -> NDArray[np.float64]:
    """A tile of noise whose amplitude falls with frequency, standard deviation 1.

    Args:
        rng: source of randomness.
        exponent: power of the frequency by which amplitudes fall; 0 is white noise.
        largest: texels, waves longer than this are faded out so that the tiling does not show.
    """
    frequency = np.fft.fftfreq(TEXELS)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1.0
    gain = radius**-exponent * (1.0 - np.exp(-((radius * largest) ** 2)))
    gain[0, 0] = 0.0
    tile = np.real(np.fft.ifft2(np.fft.fft2(rng.standard_normal((TEXELS, TEXELS))) * gain))
    normal: NDArray[np.float64] = tile / tile.std()
    return normal


def cobblestones(rng: np.random.Generator, columns: int = 16, rows: int = 9) -> NDArray[np.float64]:
    """A tile of stones in shifted rows with light joints, standard deviation 1.

    Args:
        rng: source of randomness.
        columns: stones in a row (across the road).
        rows: rows of stones (along the road).
    """
    y, x = np.mgrid[0:TEXELS, 0:TEXELS] / TEXELS
    wobble = 0.17 * coloured_noise(rng, 1.2, 40.0)
    v = y * rows + 0.5 * wobble
    row = np.floor(v).astype(int)
    widths = rng.uniform(-0.16, 0.16, (rows, columns))
    u = x * columns + 0.5 * (row % 2) + wobble
    u += widths[row % rows, np.floor(u).astype(int) % columns]
    column = np.floor(u).astype(int)
    edge = np.minimum(np.minimum(u - column, column + 1 - u) * 1.0, np.minimum(v - row, row + 1 - v))
    joint = np.clip(1.0 - edge / 0.14, 0.0, 1.0)
    stone = rng.normal(0.0, 0.25, (rows, columns))[row % rows, column % columns]
    tile = 1.1 * joint + stone + 0.22 * coloured_noise(rng, 0.6, 60.0)
    tile -= tile.mean()
    normal: NDArray[np.float64] = tile / tile.std()
    return normal
