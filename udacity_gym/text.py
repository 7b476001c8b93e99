"""Text for people."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, indent: str = "", header: bool = False) -> str:
    """Rows as lines of text, with columns two spaces apart.

    Args:
        rows: the cells of each row, as many in all.
        indent: text before each line.
        header: underline the first row.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [*rows[:1], *([["-" * width for width in widths]] if header else []), *rows[1:]]
    return "\n".join(
        indent + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun, such as "1 lap" or "2 laps".

    Args:
        number: the number.
        noun: the noun in the singular.
        plural: its plural; None adds an "s".
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
