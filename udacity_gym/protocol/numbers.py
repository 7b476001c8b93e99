"""Numbers as text in any culture.

Udacity's simulator writes and reads numbers in the culture of its machine: 12.3456 is "12,3456" in
Germany, and "0.1" is read as 1 there, because the point groups digits. So a reader has to guess, which is
safe since there are always four decimals. A writer has to avoid both signs: "100000E-6" is 0.1 everywhere.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_GROUPING = str.maketrans("", "", " \u00a0\u202f\u2009'’٬\u200e\u200f\u061c")
"""Blanks, apostrophes and the Arabic comma group digits; marks of the direction of writing mean nothing."""
_SIGNS = str.maketrans("−٫", "-/")
"""Other minus signs and decimal signs, which are never anything else."""
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 64
"""Characters; no number is longer."""


class JsonNumber(float):
    """A number of JSON with its text, which some simulators read in the culture of their machine.

    Attributes:
        text: as it was written, such as "100000E-6".
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> JsonNumber:
        """Read the text of a number of JSON."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def read_number(value: object) -> float:
    """Read a number that came over the wire.

    A point or comma that occurs last and once is the decimal sign, as a slash is (Persian). One before it, or
    one that occurs several times, groups digits. So "1.234" is 1.234: the simulator always writes four
    decimals. The minus may stand behind, or be a pair of brackets. The digits may be those of any script.

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
            raise ValueError("no finite number: an integer of hundreds of digits") from None
    else:
        number = _parse(value)
    if not math.isfinite(number):
        raise ValueError(f"no finite number: {value!r:.60}")
    return number


def _parse(text: str) -> float:
    plain = text.translate(_GROUPING).translate(_SIGNS).strip() if len(text) <= _LONGEST else ""
    if not plain.isascii():
        plain = "".join(str(int(sign)) if sign.isdecimal() else sign for sign in plain)
    if plain.endswith("-"):
        plain = f"-{plain[:-1]}"
    elif plain.startswith("(") and plain.endswith(")"):
        plain = f"-{plain[1:-1]}"
    counts = {sign: plain.count(sign) for sign in "/.,"}
    if counts["/"]:
        decimal = "/"
    elif counts["."] and counts[","]:
        decimal = max(".,", key=plain.rfind)
    else:
        decimal = next((sign for sign in ".," if counts[sign] == 1), "")
    for sign in ".,":
        if sign != decimal:
            plain = plain.replace(sign, "")
    if decimal:
        plain = plain.replace(decimal, ".")
    if not _PLAIN.fullmatch(plain):
        raise ValueError(f"no number: {text!r:.60}")
    return float(plain)


def write_number(value: float) -> str:
    """Write a number so that every culture reads the same: an integer with an exponent.

    Args:
        value: a finite number.

    Returns:
        For instance "-51200E-6"; rounded to six decimals. It is a number of JSON, too.
    """
    return f"{round(value * 1e6)}E-6"


@dataclass(frozen=True, slots=True)
class Culture:
    """How a machine writes numbers.

    Attributes:
        decimal: the decimal sign.
        group: the sign that groups thousands.
        minus_behind: whether the minus stands behind the digits.
    """

    decimal: str = "."
    group: str = ","
    minus_behind: bool = False

    def write(self, value: float) -> str:
        """Write as .NET's ``ToString("N4")`` does: four decimals, thousands grouped."""
        text = f"{abs(value):,.4f}".translate({ord("."): self.decimal, ord(","): self.group})
        return self._sign(text, is_negative=round(value, 4) < 0)

    def write_json(self, value: float) -> str:
        """Write as .NET's ``ToString()`` does: single precision, not grouped. With a point it is JSON."""
        text = f"{float(f'{abs(value):.7g}')!r}".replace(".", self.decimal)
        return self._sign(text, is_negative=value < 0)

    def _sign(self, text: str, *, is_negative: bool) -> str:
        if not is_negative:
            return text
        return f"{text}-" if self.minus_behind else f"-{text}"

    def read(self, text: str) -> float:
        """Read as .NET's ``float.Parse`` does, which ignores group signs anywhere before the decimal sign.

        Raises:
            ValueError: The text is no number.
        """
        plain = text.strip().replace(self.group, "")
        if self.decimal != "." and "." in plain:
            raise ValueError(f"no number in this culture: {text!r:.60}")
        plain = plain.replace(self.decimal, ".")
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
    "ar_SA": Culture(".", ",", minus_behind=True),
    "ar_EG": Culture(".", ",", minus_behind=True),
    "fa_IR": Culture("/", ",", minus_behind=True),
}
"""Cultures by name."""


def find_culture(name: str) -> Culture | None:
    """Find a culture by its name, such as "de_DE" or, as .NET writes it, "de-DE"; None if there is none."""
    return CULTURES.get(name.replace("-", "_"))
