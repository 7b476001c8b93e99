"""How the kernels of physics and images are compiled, and kept on disk."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile
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
    """Compile a loop over pixels: no checks, no GIL, arguments that don't overlap.

    It becomes part of whatever kernel calls it. Were it called instead, a process that compiles the caller
    would call the kernel as compiled by itself, one that loads the caller from disk the kernel as compiled
    together with it; the two round differently, and so would the images differ.
    """
    compiled: _Function = njit(nogil=True, forceinline=True, pipeline_class=NoAlias, **_UNCHECKED)(function)
    return compiled


@lru_cache
def _revision(folder: Path) -> str:
    """Fingerprint of all the sources that a kernel of a folder may have been compiled from."""
    fingerprint = hashlib.sha256()
    sources = {source for place in (Path(__file__).parent, folder) for source in place.rglob("*.py")}
    for source in sorted(sources):
        fingerprint.update(source.read_bytes())
    return fingerprint.hexdigest()


class _Cache(FunctionCache):  # type: ignore[misc, unused-ignore]
    """Compiled code on disk, good for as long as no source of `world` and of the function's folder changes.

    Numba's own looks at the file of the function alone, and would go on using what that file calls in
    others as it once was.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call, unused-ignore]
        index: Any = IndexDataCacheFile
        self._cache_file = index(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=_revision(Path(inspect.getfile(function)).parent),
        )

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, if there is room."""
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call, unused-ignore]

    def __len__(self) -> int:
        index: Any = self._cache_file
        return len(index._load_index())


def _on_disk(dispatcher: Any, function: _Function) -> _Function:
    with suppress(RuntimeError):  # nowhere to write: every process compiles for itself
        dispatcher._cache = _Cache(function)
    compiled: _Function = dispatcher
    return compiled


def cached(function: _Function) -> _Function:
    """Compile without the GIL, and keep the result on disk."""
    return _on_disk(njit(nogil=True)(function), function)


def cached_kernel(function: _Function) -> _Function:
    """Compile like `kernel`, and keep the result on disk with all the kernels that the function calls."""
    return _on_disk(njit(nogil=True, pipeline_class=NoAlias, **_UNCHECKED)(function), function)


def is_on_disk(compiled: Callable[..., Any]) -> bool:
    """Whether something compiled with `cached` or `cached_kernel` need not be compiled again."""
    cache = getattr(compiled, "_cache", None)
    return isinstance(cache, _Cache) and len(cache) > 0
