"""How the picture's kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numba.core.compiler import Compiler

F = np.float32
"""Number type of the kernels: a float64 constant would drag whole loops to half their speed."""

LANES = 16
"""Pixel columns that are drawn together: one AVX-512 register of float32, two of AVX2."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_UNCHECKED: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "boundscheck": False}


class NoAlias(Compiler):  # type: ignore[misc, unused-ignore]
    """Compile with the promise that no two array arguments overlap, so that loops can be vectorised."""

    def compile_extra(self, func: Any) -> Any:
        """Compile ``func`` with the promise."""
        self.state.flags.noalias = True
        compiler: Any = super()
        return compiler.compile_extra(func)


def inline(function: _Function) -> _Function:
    """Compile a small helper of scalars into every kernel that calls it."""
    compiled: _Function = njit(inline="always", **_UNCHECKED)(function)
    return compiled


@inline
def index(i: Any) -> Any:
    """An index that is known to be neither negative nor large, so that look-ups need 32 bits per lane."""
    return np.uint64(np.uint32(i) & np.uint32(0x3FFFFFFF))


def kernel(function: _Function) -> _Function:
    """Compile a loop over pixels: no checks, no GIL, arguments that don't overlap."""
    compiled: _Function = njit(nogil=True, pipeline_class=NoAlias, **_UNCHECKED)(function)
    return compiled


def cached_kernel(function: _Function) -> _Function:
    """Compile like `kernel`, and keep the result on disk with all the kernels that the function calls."""
    compiled: _Function = njit(nogil=True, cache=True, pipeline_class=NoAlias, **_UNCHECKED)(function)
    return compiled
