"""Numbers as text in any culture.

Udacity's simulator writes and reads numbers in the culture of its machine: 12.3456 is "12,3456" in
Germany, and "0.1" is read as 1 there, because the point groups digits. So a reader has to guess, which is
safe since there are always four decimals. A writer has to avoid both signs: "100000E-6" is 0.1 everywhere.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_GROUPING = " \u00a0\u202f\u2009'’"
"""Blanks and apostrophes that cultures group digits with; never a decimal sign."""
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 64
"""Characters; no number is longer."""


def read_number(value: object) -> float:
    """Read a number that came over the wire.

    A sign that occurs last and once is the decimal sign; a point or comma before it, or one that occurs
    several times, groups digits. So "1.234" is 1.234: the simulator always writes four decimals.

    Args:
        value: text in any culture, or a JSON number.

    Returns:
        The number; finite.

    Raises:
        ValueError: The value is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"no number: {value!r:.60}")
    if not isinstance(value, str):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    else:
        number = _parse(value)
    if not math.isfinite(number):
        raise ValueError(f"no finite number: {value!r:.60}")
    return number


def _parse(text: str) -> float:
    plain = text.strip().replace("−", "-") if len(text) <= _LONGEST else ""
    for sign in _GROUPING:
        plain = plain.replace(sign, "")
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        decimal = max(".,", key=plain.rfind)
    elif points == 1 or commas == 1:
        decimal = "." if points else ","
    else:
        decimal = ""
    for sign in ".,":
        if sign != decimal:
            plain = plain.replace(sign, "")
    plain = plain.replace(",", ".")
    if not _PLAIN.fullmatch(plain):
        raise ValueError(f"no number: {text!r:.60}")
    return float(plain)


def write_number(value: float) -> str:
    """Write a number so that every culture reads the same: an integer with an exponent.

    Args:
        value: a finite number.

    Returns:
        For instance "-51200E-6"; rounded to six decimals.
    """
    return f"{round(value * 1e6)}E-6"


@dataclass(frozen=True, slots=True)
class Culture:
    """How a machine writes numbers.

    Attributes:
        decimal: the decimal sign.
        group: the sign that groups thousands.
    """

    decimal: str = "."
    group: str = ","

    def write(self, value: float) -> str:
        """Write as .NET's ``ToString("N4")`` does: four decimals, thousands grouped."""
        text = f"{value:,.4f}"
        if not text.strip("-0.,"):
            text = text.lstrip("-")
        return text.translate({ord("."): self.decimal, ord(","): self.group})

    def read(self, text: str) -> float:
        """Read as .NET's ``float.Parse`` does, which ignores group signs anywhere before the decimal sign.

        Raises:
            ValueError: The text is no number.
        """
        plain = text.strip().replace(self.group, "").replace(self.decimal, ".")
        if not _PLAIN.fullmatch(plain):
            raise ValueError(f"no number: {text!r:.60}")
        return float(plain)


CULTURES = {
    "en_US": Culture(".", ","),
    "en_GB": Culture(".", ","),
    "zh_CN": Culture(".", ","),
    "ja_JP": Culture(".", ","),
    "de_DE": Culture(",", "."),
    "es_ES": Culture(",", "."),
    "it_IT": Culture(",", "."),
    "nl_NL": Culture(",", "."),
    "pt_BR": Culture(",", "."),
    "tr_TR": Culture(",", "."),
    "fr_FR": Culture(",", "\u00a0"),
    "pl_PL": Culture(",", "\u00a0"),
    "ru_RU": Culture(",", "\u00a0"),
    "de_CH": Culture(".", "’"),
}
"""Cultures by name."""
