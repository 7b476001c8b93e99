"""How the picture's kernels are compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core.compiler import Compiler

F = np.float32
"""Number type of the kernels: a float64 constant would drag whole loops to half their speed."""

LANES = 16
"""Pixel columns that are drawn together: a full AVX-512 register of float32, two of AVX2."""


class NoAlias(Compiler):  # type: ignore[misc]
    """Compile with the promise that no two array arguments overlap, so that loops can be vectorised."""

    def compile_extra(self, func: Any) -> Any:
        """Compile ``func`` with the promise."""
        self.state.flags.noalias = True
        return super().compile_extra(func)


INLINE: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "boundscheck": False, "inline": "always"}
"""Options of small helpers of scalars, which become part of the kernel that calls them."""

KERNEL: dict[str, Any] = {
    "fastmath": True,
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
    "cache": True,
    "pipeline_class": NoAlias,
}
"""Options of kernels: no checks in loops, no GIL, compiled once per machine."""
