"""One line of a log, in any dialect, to its fields."""

import math

import pytest
from hypothesis import example, given, strategies as st

from udacity_gym.recording.dialect import LineError, Row, out_of_range, parse
from udacity_gym.recording.header import parse_header
from udacity_gym.recording.writer import format_number

PATHS = "IMG/center_1.jpg,IMG/left_1.jpg,IMG/right_1.jpg"


def numbers(line: str, **options: bool) -> tuple[float, ...]:
    return parse(line, **options)[3:7]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0,1,0,30.18999", (0, 1, 0, 30.18999)),
        (" 0, 0.5, 0, 7.927273E-05", (0, 0.5, 0, 7.927273e-05)),
        ("-7.450581E-09 ,0,1 , 3", (-7.450581e-09, 0, 1, 3)),
        (" -0,08581576, 0,1286689, 0, 12,1822", (-0.08581576, 0.1286689, 0, 12.1822)),
        ("-0,08581576,0,1286689,0,25,12,1822", (-0.08581576, 0.1286689, 0.25, 12.1822)),
        ("0,0,3328317,0,16,65228", (0, 0.3328317, 0, 16.65228)),
        ("0,1,0,30,18999", (0, 1, 0, 30.18999)),
        ("0,0,0,7,927273E-05", (0, 0, 0, 7.927273e-05)),
        ("-1,0,0,1.586193,,Behavioral-Cloning-Data,IMG,center_1,jpg,", (-1, 0, 0, 1.586193)),
        ("0,0,0,0,,Behavioral-Cloning-Data,IMG,center_1,jpg,", (0, 0, 0, 0)),
        ("0.5,0,0,1.5,17", (0.5, 0, 0, 1.5)),
        ('"-0,5","0,25",0,"12,5"', (-0.5, 0.25, 0, 12.5)),
    ],
)
def test_numbers_read_as_they_were_meant(written: str, meant: tuple[float, ...]) -> None:
    assert numbers(f"{PATHS},{written}") == meant


def test_semicolons_and_tabs_separate_too() -> None:
    paths = PATHS.split(",")
    assert numbers(";".join([*paths, "-0,5", "0,25", "0", "12,5"])) == (-0.5, 0.25, 0, 12.5)
    assert numbers("\t".join([*paths, "-0.5", "0.25", "0", "12.5"])) == (-0.5, 0.25, 0, 12.5)


@pytest.mark.parametrize("written", ["0,1,0,5,3", "0,0,0,7,25", "0,1,0,25,31"])
def test_numbers_with_two_meanings_are_reported_and_not_guessed(written: str) -> None:
    with pytest.raises(LineError, match="may mean") as caught:
        parse(f"{PATHS},{written}")
    assert caught.value.kind.name == "ambiguous numbers"


def test_a_further_column_of_numbers_elsewhere_in_the_file_makes_whole_numbers_ambiguous() -> None:
    assert numbers(f"{PATHS},0,0,0,30,18999") == (0, 0, 0, 30.18999)
    assert parse(f"{PATHS},0,0.5,0,7.5,25").further_numbers
    with pytest.raises(LineError, match="may mean"):
        parse(f"{PATHS},0,0,0,30,18999", numbers_follow=True)


@pytest.mark.parametrize(
    ("written", "kind", "detail"),
    [
        ("0,fast,0,10", "not a number", "throttle is 'fast'"),
        ("nan,0,0,10", "not a number", "steering is 'nan'"),
        ("0,0,0,inf", "not a number", "speed is 'inf'"),
        ("0,0,1_0,5", "not a number", "brake is '1_0'"),
        ("0,0,,5", "not a number", "brake is ''"),
        ("0,0.5", "unreadable row", "2 numbers"),
        ("0,0,0,0,0,0,0,0,0", "unreadable row", "four numbers"),
    ],
)
def test_numbers_that_cannot_be_used_are_named_with_their_field(written: str, kind: str, detail: str) -> None:
    with pytest.raises(LineError, match=detail) as caught:
        parse(f"{PATHS},{written}")
    assert caught.value.kind.name == kind


@pytest.mark.parametrize(
    ("written", "detail"),
    [
        ("1.5,0,0,10", "steering is 1.5, not in [-1, 1]"),
        ("0,-0.5,0,10", "throttle is -0.5, not in [0, 1]"),
        ("0,0,0,-3.5", "speed is -3.5, not in [0, 200] mph"),
        ("0,0,0,1e99", "speed is 1e+99, not in [0, 200] mph"),
        ("0,0,0,1e999", "speed is inf, not in [0, 200] mph"),
        ("-1,1,1,200", None),
    ],
)
def test_numbers_out_of_range_are_named(written: str, detail: str | None) -> None:
    assert out_of_range(numbers(f"{PATHS},{written}")) == detail


@pytest.mark.parametrize(
    ("written", "folder", "name"),
    [
        ("center_1.jpg", "", "center_1.jpg"),
        ("./IMG/center_1.jpg", "./IMG/", "center_1.jpg"),
        ("C:\\Users\\Jo\\new track\\IMG\\center_1.jpg", "C:\\Users\\Jo\\new track\\IMG\\", "center_1.jpg"),
        (
            "/Users/jo/Behavioral cloning/IMG/center_1.jpg",
            "/Users/jo/Behavioral cloning/IMG/",
            "center_1.jpg",
        ),
        ("C:\\Doe, John\\IMG\\center_1.jpg", "C:\\Doe, John\\IMG\\", "center_1.jpg"),
        ('"/home/Doe, J/IMG/center_1.jpg"', "/home/Doe, J/IMG/", "center_1.jpg"),
        ("IMG/center_1.PNG", "IMG/", "center_1.PNG"),
    ],
)
def test_paths_of_any_system_split_into_folder_and_name(written: str, folder: str, name: str) -> None:
    fields = parse(f"{written},IMG/left_1.jpg, IMG/right_1.jpg,0,0,0,1")
    assert fields.center == (folder, name)
    assert fields.left == ("IMG/", "left_1.jpg")
    assert fields.right == ("IMG/", "right_1.jpg")


def test_empty_fields_of_side_cameras_stay_empty() -> None:
    fields = parse("IMG/center_1.jpg,,,0.5,0,0,1")
    assert fields.left == fields.right == ("", "")
    assert fields.steering == 0.5


@pytest.mark.parametrize(
    "line",
    [
        "center,left,right,steering,throttle,brake,speed",
        "center, left, right, steering, throttle, brake, speed",
        '"Center";"Left";"Right";"Steering"',
        ",center,left,right,steering,throttle,brake,speed",
    ],
)
def test_headers_are_recognised(line: str) -> None:
    assert parse_header(line) is not None


@pytest.mark.parametrize("line", ["", f"{PATHS},0,0,0,1", "nombre_imagen,steering,comando", "center"])
def test_other_lines_are_no_headers(line: str) -> None:
    assert parse_header(line, first=True) is None


def parse_or_error(line: str) -> Row | LineError:
    try:
        return parse(line)
    except LineError as error:
        return error


FOLDERS = st.sampled_from(
    [
        "",
        "IMG/",
        "./IMG/",
        "C:\\Users\\Jo\\IMG\\",
        "/Users/jo doe/my, data/IMG/",
        "/home/jo/Masaüstü/IMG/",
        "C:\\Doe, J\\",
    ]
)
FLOATS = st.floats(0, 1, width=32)


@given(
    folder=FOLDERS,
    separator=st.sampled_from([",", ", ", ";", "\t", " , "]),
    comma=st.booleans(),
    values=st.tuples(st.floats(-1, 1, width=32), FLOATS, FLOATS, st.floats(0, 200, width=32)),
    further=st.sampled_from(["", ",", ",,Data,IMG,center_1,jpg,"]),
)
@example(folder="C:\\Doe, J\\", separator=",", comma=True, values=(0.0, 1.0, 0.0, 5.5), further="")
def test_a_row_in_any_dialect_reads_back_or_is_reported_as_ambiguous(
    folder: str, separator: str, comma: bool, values: tuple[float, ...], further: str
) -> None:
    written = [format_number(value) for value in values]
    meant = tuple(float(text) for text in written)
    if separator == ";" and ", " in folder:
        folder = "IMG/"
    texts = [text.replace(".", ",") for text in written] if comma else written
    paths = [f"{folder}{camera}_1.jpg" for camera in ("center", "left", "right")]
    if separator == "," and not comma:
        texts[-1] += further
    line = separator.join([*paths, *texts])
    fields = parse_or_error(line)
    if isinstance(fields, LineError):
        assert comma  # only a comma that is both separator and decimal mark has two meanings
        assert separator == ","
        assert fields.kind.name == "ambiguous numbers"
        return
    assert fields[3:7] == meant
    assert fields.center == (folder, "center_1.jpg")
    assert fields.right == (folder, "right_1.jpg")


@given(st.text(alphabet="01,.-eE ;\t\"'\\/jpgcentr_é\u0660", max_size=80))
@example("1E-05,5" + "," * 20)
def test_any_line_is_a_row_or_a_line_error(text: str) -> None:
    for line in (text, f"{PATHS},{text}"):
        fields = parse_or_error(line)
        if isinstance(fields, LineError):
            assert fields.detail
        else:
            assert not any(math.isnan(value) for value in fields[3:7])


@pytest.mark.parametrize("part", [" ", "1", "/", "\\", ".jpg", "a.jpg,", "1,", "-", '"', "\t", "1E"])
def test_a_very_long_line_is_refused(part: str) -> None:
    for line in (part * 200_000, f"{PATHS},{part * 200_000}", f"{part * 3_000}!"):
        with pytest.raises(LineError):
            parse(line)
