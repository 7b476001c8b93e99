"""Repeating patterns with all their smaller copies: asphalt, cobblestones, ground.

Each pattern is a square tile of deviations from its mean with standard deviation 1, kept together
with its halvings (mipmaps, Williams 1983) in one array twice as wide as high.
"""

from __future__ import annotations

import itertools
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
_STONES = 144  # kinds of cobblestones; with another number, the pattern of the ground would be another


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


def cobblestones(rng: np.random.Generator, columns: int = 19, rows: int = 14) -> NDArray[np.float64]:
    """A tile of stones in shifted rows with light joints, standard deviation 1.

    The stones are the cells of points in a grid that are moved by chance (Worley 1996). They are nearly
    rectangles, as distances are measured by the fourth powers.

    Args:
        rng: source of randomness.
        columns: stones in a row (along the road).
        rows: rows of stones (across the road), an even number.
    """
    y, x = np.mgrid[0:TEXELS, 0:TEXELS] / TEXELS
    wobble = 0.04 * coloured_noise(rng, 1.2, 40.0)
    u, v = x * columns + wobble, y * rows + wobble.T
    moves, tones = rng.uniform(-0.35, 0.35, _STONES), rng.normal(0.0, 0.3, _STONES)
    nearest, second = np.full(x.shape, np.inf), np.full(x.shape, np.inf)
    tone = np.zeros(x.shape)
    for row_step, column_step in itertools.product((-1, 0, 1), repeat=2):
        row = np.floor(v).astype(int) + row_step
        shift = 0.5 * (row % 2)
        column = np.floor(u - shift).astype(int) + column_step
        kind = row % rows * columns + column % columns
        along = u - shift - column - 0.5 - moves[kind % _STONES]
        across = v - row - 0.5 - moves[(5 * kind + 7) % _STONES]
        distance = (along**4 + across**4) ** 0.25
        tone = np.where(distance < nearest, tones[kind % _STONES], tone)
        second = np.minimum(second, np.maximum(distance, nearest))
        nearest = np.minimum(nearest, distance)
    joint = np.clip(1.6 - 6.0 * (second - nearest), 0.0, 1.0)
    tile = (1.0 - joint) * (tone + 0.2 * coloured_noise(rng, 0.6, 60.0)) + 1.6 * joint
    tile -= tile.mean()
    normal: NDArray[np.float64] = tile / tile.std()
    return normal
