"""Numbers with names for compiled code.

Kernels read settings such as the camera's axes or the widths of road markings as fields of named tuples
(`camera.forward.x`), which costs nothing there. Handing a named tuple of many numbers from Python to compiled
code is slow, though: about 0.25 µs for every number, as much as for a whole array. So such a record crosses
over as one flat float32 array: `pack` makes it, `unpack` reads it in a kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from udacity_gym.world.jit import F, inline

_Record = TypeVar("_Record", bound=tuple[Any, ...])


class Vector(NamedTuple):
    """A point or a direction in the world: m east, north and up."""

    x: F
    y: F
    z: F

    @staticmethod
    def of(numbers: Iterable[float]) -> Vector:
        """Make one of three numbers."""
        return Vector(*map(F, numbers))


class Rgb(NamedTuple):
    """A colour, usually in [0, 255], or a factor for each colour."""

    red: F
    green: F
    blue: F

    @staticmethod
    def of(numbers: Iterable[float]) -> Rgb:
        """Make one of three numbers."""
        return Rgb(*map(F, numbers))


def pack(record: tuple[Any, ...]) -> NDArray[np.float32]:
    """Write the numbers of a named tuple, and of named tuples in it, one after the other.

    Args:
        record: a named tuple of numbers and of such named tuples.

    Returns:
        (n,) float32.
    """
    return np.array(list(_numbers(record)), np.float32)


def _numbers(record: tuple[Any, ...]) -> Iterator[Any]:
    for value in record:
        if isinstance(value, tuple):
            yield from _numbers(value)
        else:
            yield value


def _type_of(kind: type[Any], number: types.Type) -> types.Type:
    """Numba's type of a record of a kind."""
    if not issubclass(kind, tuple):
        return number
    hints = get_type_hints(kind)
    fields = tuple(_type_of(hints[name], number) for name in kind._fields)  # type: ignore[attr-defined]
    made: types.Type = types.BaseTuple.from_types(fields, kind)  # type: ignore[no-untyped-call, unused-ignore]
    return made


@intrinsic  # type: ignore[misc, unused-ignore]
def _unpack(typing_context: Any, kind: Any, numbers: Any) -> Any:
    """`unpack` in machine code: one load for every number, of which those that nobody uses disappear."""
    if not isinstance(numbers, types.Array) or numbers.ndim != 1 or numbers.layout != "C":
        return None
    record = _type_of(kind.instance_class, numbers.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(numbers)(context, builder, arguments[1]).data
        position = count()

        def load(part: Any) -> Any:
            if isinstance(part, types.BaseTuple):
                fields: Any = part
                return context.make_tuple(builder, fields, [load(field) for field in fields.types])
            pointer = cgutils.gep_inbounds(builder, data, next(position))  # type: ignore[no-untyped-call, unused-ignore]
            return builder.load(pointer)

        return load(record)

    return record(kind, numbers), generate


@inline
def unpack(kind: type[_Record], numbers: NDArray[np.float32]) -> _Record:
    """Read, in compiled code, what `pack` wrote.

    Args:
        kind: the named tuple's class; its annotations say which fields are named tuples themselves.
        numbers: (n,) float32, as many as the record has; this is not checked.
    """
    read: Any = _unpack
    record: _Record = read(kind, numbers)
    return record
