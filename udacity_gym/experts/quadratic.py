"""Quadratic programmes around a loop: a cyclic band of five, and bounds for every unknown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import cached

Floats = NDArray[np.float64]


@cached
def solve_cyclic(d0: Floats, d1: Floats, d2: Floats, rhs: Floats) -> Floats:
    """Solve a symmetric positive definite system with a cyclic band of five.

    ``d1[i]`` couples unknowns i and i+1, ``d2[i]`` i and i+2, around the end. The last two unknowns are
    eliminated as a border, the rest by LDLᵀ.
    """
    n = d0.shape[0]
    m = n - 2
    pivot, l1, l2 = np.zeros(m), np.zeros(m), np.zeros(m)
    columns = np.zeros((m, 3))  # the right-hand side, and the border's two columns
    for i in range(m):
        columns[i, 0] = rhs[i]
    columns[m - 2, 1] = d2[m - 2]
    columns[m - 1, 1] = d1[m - 1]
    columns[0, 1] += d2[n - 2]
    columns[m - 1, 2] = d2[m - 1]
    columns[0, 2] += d1[n - 1]
    columns[1, 2] += d2[n - 1]
    border = columns[:, 1:].copy()
    for i in range(m):
        pivot[i] = d0[i]
        if i >= 2:
            l2[i] = d2[i - 2] / pivot[i - 2]
            pivot[i] -= l2[i] * l2[i] * pivot[i - 2]
        if i >= 1:
            coupled = d1[i - 1]
            if i >= 2:
                coupled -= l2[i] * pivot[i - 2] * l1[i - 1]
            l1[i] = coupled / pivot[i - 1]
            pivot[i] -= l1[i] * l1[i] * pivot[i - 1]
        for k in range(3):
            if i >= 1:
                columns[i, k] -= l1[i] * columns[i - 1, k]
            if i >= 2:
                columns[i, k] -= l2[i] * columns[i - 2, k]
    for i in range(m - 1, -1, -1):
        for k in range(3):
            columns[i, k] /= pivot[i]
            if i + 1 < m:
                columns[i, k] -= l1[i + 1] * columns[i + 1, k]
            if i + 2 < m:
                columns[i, k] -= l2[i + 2] * columns[i + 2, k]
    p, q, r = d0[n - 2], d1[n - 2], d0[n - 1]
    u, v = rhs[n - 2], rhs[n - 1]
    for i in range(m):
        p -= border[i, 0] * columns[i, 1]
        q -= border[i, 0] * columns[i, 2]
        r -= border[i, 1] * columns[i, 2]
        u -= border[i, 0] * columns[i, 0]
        v -= border[i, 1] * columns[i, 0]
    determinant = p * r - q * q
    x = np.zeros(n)
    x[n - 2] = (r * u - q * v) / determinant
    x[n - 1] = (p * v - q * u) / determinant
    for i in range(m):
        x[i] = columns[i, 0] - columns[i, 1] * x[n - 2] - columns[i, 2] * x[n - 1]
    return x


@cached
def solve_between(d0: Floats, d1: Floats, d2: Floats, linear: Floats, low: Floats, high: Floats) -> Floats:
    """Minimise ``½ xᵀPx + linearᵀx`` with ``low <= x <= high``: a primal-dual interior-point method.

    P has the cyclic diagonals d0, d1, d2, see `solve_cyclic`.
    """
    n = d0.shape[0]
    wide = np.maximum(high - low, 1e-3)
    x = 0.5 * (low + high)
    below, above = np.ones(n), np.ones(n)  # multipliers of the two bounds
    for _ in range(60):
        room_below, room_above = np.empty(n), np.empty(n)
        gap = 0.0
        for i in range(n):
            room_below[i] = max(x[i] - low[i], 1e-12)
            room_above[i] = max(low[i] + wide[i] - x[i], 1e-12)
            gap += below[i] * room_below[i] + above[i] * room_above[i]
        gap /= 2 * n
        rhs, diagonal, worst = np.zeros(n), np.zeros(n), 0.0
        target = 0.1 * gap
        for i in range(n):
            gradient = linear[i] + d0[i] * x[i]
            gradient += d1[i] * x[(i + 1) % n] + d1[i - 1] * x[i - 1]
            gradient += d2[i] * x[(i + 2) % n] + d2[i - 2] * x[i - 2]
            residual = below[i] - above[i] - gradient
            worst = max(worst, abs(residual))
            rhs[i] = residual + (target / room_below[i] - below[i]) - (target / room_above[i] - above[i])
            diagonal[i] = d0[i] + below[i] / room_below[i] + above[i] / room_above[i]
        if gap < 1e-9 and worst < 1e-7:
            break
        dx = solve_cyclic(diagonal, d1, d2, rhs)
        step, dual_step = 1.0, 1.0
        dbelow, dabove = np.zeros(n), np.zeros(n)
        for i in range(n):
            dbelow[i] = (target - below[i] * dx[i]) / room_below[i] - below[i]
            dabove[i] = (target + above[i] * dx[i]) / room_above[i] - above[i]
            if dx[i] < 0:
                step = min(step, -0.95 * room_below[i] / dx[i])
            elif dx[i] > 0:
                step = min(step, 0.95 * room_above[i] / dx[i])
            if dbelow[i] < 0:
                dual_step = min(dual_step, -0.95 * below[i] / dbelow[i])
            if dabove[i] < 0:
                dual_step = min(dual_step, -0.95 * above[i] / dabove[i])
        for i in range(n):
            x[i] += step * dx[i]
            below[i] += dual_step * dbelow[i]
            above[i] += dual_step * dabove[i]
    return x
