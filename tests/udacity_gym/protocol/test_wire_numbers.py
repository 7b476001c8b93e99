import contextlib
import json
import math

import pytest
from hypothesis import given, strategies as st

from udacity_gym.protocol.numbers import CULTURES, JsonNumber, find_culture, read_number, write_number

NUMBERS = st.floats(-1e7, 1e7, allow_nan=False)
COMMANDS = st.floats(-1.0, 1.0, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.3456", 12.3456),
        ("12,3456", 12.3456),
        ("1.234,5000", 1234.5),
        ("1,234.5000", 1234.5),
        ("1 234,5000", 1234.5),
        ("1’234.5000", 1234.5),
        ("-0,5000", -0.5),
        ("−0,5000", -0.5),
        ("7.927273E-05", 7.927273e-5),
        ("7,927273E-05", 7.927273e-5),
        ("100000E-6", 0.1),
        ("1,234,567.8900", 1234567.89),
        ("1.234.567,8900", 1234567.89),
        (" 3 ", 3.0),
        ("4.2141-", -4.2141),
        ("4.2141 -", -4.2141),
        ("1,234.5000-", -1234.5),
        ("\u200f-4.2141", -4.2141),
        ("\u061c-4.2141", -4.2141),
        ("(4.2141)", -4.2141),
        ("- 4.2141", -4.2141),
        ("12/3456", 12.3456),
        ("0/0000", 0.0),
        ("4/2141-", -4.2141),
        ("1,234/5000", 1234.5),
        ("٤٫٢١٤١", 4.2141),
        ("۱٬۲۳۴٫۵", 1234.5),
        ("１２.５", 12.5),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_numbers_of_any_culture_are_read(text, number):
    assert read_number(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "-",
        "()",
        "1-2",
        "1//2",
        "1/2/3",
        "1.2.3,4,5",
        "NaN",
        "Infinity",
        "1e999",
        "0x10",
        "½",
        None,
        True,
        [],
        {},
        "9" * 100,
        10**400,
    ],
)
def test_what_is_no_finite_number_is_refused(text):
    with pytest.raises(ValueError, match="number"):
        read_number(text)


@given(NUMBERS, st.sampled_from(sorted(CULTURES)))
def test_what_any_culture_writes_is_read(number, culture):
    assert read_number(CULTURES[culture].write(number)) == pytest.approx(number, abs=5.1e-5)


@given(COMMANDS, st.sampled_from(sorted(CULTURES)))
def test_what_we_write_is_the_same_in_every_culture(number, culture):
    assert CULTURES[culture].read(write_number(number)) == pytest.approx(number, abs=5.1e-7)


@given(COMMANDS, st.sampled_from(sorted(CULTURES)))
def test_what_we_write_as_a_json_number_is_the_same_in_every_culture(number, culture):
    text = json.loads(f"[{write_number(number)}]", parse_float=JsonNumber)[0].text
    assert CULTURES[culture].read(text) == pytest.approx(number, abs=5.1e-7)


def test_a_json_number_is_read_in_the_culture_of_the_machine():
    assert CULTURES["de_DE"].read("0.1") == 1.0
    assert CULTURES["de_DE"].read("-0.05") == -5.0
    with pytest.raises(ValueError, match="in this culture"):
        CULTURES["fr_FR"].read("0.1")


def test_cultures_are_found_by_both_ways_to_write_their_names():
    assert find_culture("ar-SA") is find_culture("ar_SA") is CULTURES["ar_SA"]
    assert find_culture("klingon") is None


def test_a_decimal_point_is_full_lock_where_points_group_digits():
    assert CULTURES["de_DE"].read("0.100000") == 100000.0
    assert CULTURES["en_US"].read("0.100000") == 0.1


def test_a_small_negative_number_has_no_sign_when_it_is_rounded_to_zero():
    assert CULTURES["en_US"].write(-0.00001) == "0.0000"
    assert CULTURES["de_DE"].write(-1234.5) == "-1.234,5000"


@given(st.text(max_size=80))
def test_any_text_is_a_finite_number_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert math.isfinite(read_number(text))
