"""Header of a log: which column is which, also in other languages and orders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from udacity_gym.telemetry import CAMERAS

FIELDS = ("steering", "throttle", "brake", "speed")
"""The four numbers of a row, in the order of Udacity's log."""

_WORDS = {
    "center": "center centre centerimage centreimage centercamera imgcenter imagecenter frontimage front "
    "mitte zentrum centro medio central milieu merkez orta midden srodek sredina центр центральная "
    "中 中间 中间图像 中央 中心 正面 가운데 중앙",
    "left": "left leftimage leftcamera imgleft imageleft links izquierda izq gauche esquerda sinistra sol "
    "lewo lewa левая лево левый слева 左 左边 왼쪽 좌",
    "right": "right rightimage rightcamera imgright imageright rechts derecha der droite direita destra sag "
    "prawo prawa правая право правый справа 右 右边 오른쪽 우",
    "steering": "steering steer steeringangle steerangle angle steeringvalue lenkung lenkwinkel lenken "
    "direccion volante angulo giro direction angledirection anglevolant volant braquage direcao sterzo "
    "sterzata direksiyon stuur stuurhoek skret kierownica руль рулевое поворот 转向 转向角 方向盘 操舵 "
    "ステアリング 조향 조향각 핸들",
    "throttle": "throttle accelerator acceleration gas gaspedal gasgeben acelerador aceleracion "
    "accelerateur acceleration acelerador aceleracao acceleratore gaz газ дроссель 油门 スロットル アクセル "
    "스로틀 가속",
    # The notebooks of a well-known course call the column of the brake "reverse".
    "brake": "brake brakes braking reverse bremse bremsen freno frein freio travao fren rem hamulec тормоз "
    "刹车 制动 ブレーキ 브레이크",
    "speed": "speed velocity speedmph mph geschwindigkeit tempo velocidad vitesse velocidade velocita hiz "
    "snelheid predkosc скорость 速度 车速 스피드 속도",
}
"""Names of each column, without blanks, accents and case."""
_NAMES = {word: column for column, words in _WORDS.items() for word in words.split()}
_UNIT = re.compile(r"[(\[].*?[)\]]")
_SEPARATORS = ",;\t|"
_QUOTES = " \t\"'\ufeff"
_NUMBER = re.compile(r"[+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?")


class HeaderError(ValueError):
    """The header names columns in a way that leaves open which is which."""


@dataclass(frozen=True)
class Columns:
    """Order of the columns of a log.

    Attributes:
        names: for each column one of `CAMERAS` or `FIELDS`, or "" for a column that is not used.
        separator: separator of the header.
        known: whether the header's words are known; False if Udacity's order is an assumption.
    """

    names: tuple[str, ...]
    separator: str = ","
    known: bool = True

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """Columns of images, in the order of the file."""
        return tuple(name for name in self.names if name in CAMERAS)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Columns of numbers, in the order of the file."""
        return tuple(name for name in self.names if name in FIELDS)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each column that is used."""
        return {name: position for position, name in enumerate(self.names) if name}

    @cached_property
    def is_udacity(self) -> bool:
        """Whether the columns are those of Udacity's simulator, possibly with more behind them."""
        return self.names[: len(UDACITY.names)] == UDACITY.names

    @cached_property
    def is_beginning(self) -> bool:
        """Whether the last of Udacity's columns are missing, in the header or in the rows as well."""
        return self.names != UDACITY.names and self.names == UDACITY.names[: len(self.names)]

    @cached_property
    def leading(self) -> int:
        """Columns that are not used before the first that is."""
        return next((i for i, name in enumerate(self.names) if name), 0)

    @cached_property
    def is_in_blocks(self) -> bool:
        """Whether the images come first and the numbers after them, with nothing between.

        Only then can a row be read whose number of commas differs from the header's.
        """
        used = self.names[self.leading :]
        return used[: len(self.cameras) + len(self.numbers)] == (*self.cameras, *self.numbers)

    def __str__(self) -> str:
        return ", ".join(name or "(not used)" for name in self.names)


UDACITY = Columns((*CAMERAS, *FIELDS))
"""Columns of Udacity's simulator, which writes no header."""


def parse_header(line: str, first: bool = False) -> Columns | None:
    """Read a header.

    Args:
        line: a line of the log.
        first: whether it is the first line that is not empty, which may be a header in an unknown language.

    Returns:
        The columns; None if the line is no header.

    Raises:
        HeaderError: Two columns have the same meaning, or steering or the centre image is missing.
    """
    if len(line) > 10_000:
        return None
    separator = max(_SEPARATORS, key=line.count)
    words = [word.strip(_QUOTES) for word in line.split(separator)]
    if not any(words):
        return None
    while len(words) > 1 and not words[-1]:
        words.pop()
    if _counts(words):
        skipped = 0 if words[0] else 1
        return Columns((("",) * skipped + UDACITY.names)[: len(words)], separator)
    names = [_column(word) for word in words]
    if len({name for name in names if name}) >= 2:
        return Columns(_complete(words, names), separator)
    skipped = 0 if words[0] else 1
    texts = words[skipped:]
    if first and len(texts) == len(UDACITY.names) and all(map(_is_word, texts)) and len(set(texts)) == 7:
        return Columns(("",) * skipped + UDACITY.names, separator, known=False)
    return None


def _counts(words: Sequence[str]) -> bool:
    """Whether the words are 0, 1, 2, ..., as pandas writes above columns without names."""
    counted = words if words[0] else words[1:]
    return len(counted) >= 4 and list(counted) == [str(number) for number in range(len(counted))]


def _is_word(text: str) -> bool:
    is_image = re.search(r"\.(?:jpe?g|png)", text, re.IGNORECASE) is not None
    return bool(text) and not is_image and _NUMBER.fullmatch(text) is None and "\0" not in text


def _column(word: str) -> str:
    """The column that a word names, "" if it is none of Udacity's."""
    plain = unicodedata.normalize("NFKD", _UNIT.sub("", word).casefold()).replace("ı", "i").replace("ł", "l")
    plain = "".join(c for c in plain if c.isalnum() and not unicodedata.combining(c))
    return _NAMES.get(unicodedata.normalize("NFKC", plain), "")


def _complete(words: Sequence[str], names: list[str]) -> tuple[str, ...]:
    """Resolve columns with one meaning, and those whose word is unknown but whose place is Udacity's."""
    for column in set(names) - {""}:
        same = [i for i, name in enumerate(names) if name == column]
        exact = [i for i in same if words[i].casefold() == column]
        if len(same) > 1 and len(exact) != 1:
            listed = " and ".join(repr(words[i]) for i in same)
            raise HeaderError(f"the header has two columns of {column}: {listed}; rename one of them")
        for i in same:
            if len(same) > 1 and i != exact[0]:
                names[i] = ""
    start = 0 if words[0] else 1
    used = tuple(names[start:])
    placed = zip(used, UDACITY.names, strict=False)
    if used == CAMERAS or (
        len(used) == len(UDACITY.names) and all(name in ("", standard) for name, standard in placed)
    ):
        return ("",) * start + UDACITY.names
    for column in ("center", "steering"):
        if column not in names:
            raise HeaderError(
                f"the header has no column {column!r}, only {', '.join(repr(word) for word in words if word)}"
            )
    return tuple(names)
