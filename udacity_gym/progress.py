"""Progress bars, which are shown on a terminal only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

_HIDDEN = ContextVar("hidden", default=False)


def progress_bar(show: bool = True, **settings: Any) -> tqdm[Any]:
    """Make a progress bar.

    It is shown on a terminal only: in a file, each redraw would be one more line. The environment variable
    ``TQDM_DISABLE=1`` and `hide_progress` hide all bars.

    Args:
        show: whether to show it at all.
        settings: arguments of ``tqdm``, such as ``total`` and ``desc``.

    Returns:
        The bar; with an ``iterable``, also an iterator.
    """
    from tqdm import tqdm

    # tqdm reads TQDM_DISABLE, too, but not if it gets the argument `disable`.
    is_disabled = os.environ.get("TQDM_DISABLE", "").strip().lower() not in ("", "0", "false", "no")
    hidden = not show or is_disabled or _HIDDEN.get()
    return tqdm(disable=True if hidden else None, **settings)  # None: hidden unless it is a terminal


@contextlib.contextmanager
def hide_progress(hide: bool = True) -> Iterator[None]:
    """Hide the progress bars that are made within the block."""
    token = _HIDDEN.set(_HIDDEN.get() or hide)
    try:
        yield
    finally:
        _HIDDEN.reset(token)
