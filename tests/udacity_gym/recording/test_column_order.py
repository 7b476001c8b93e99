"""Columns in any order, in any language and culture, read as they were meant or are refused."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from recording_tools import MakeRecording, image_name, make_image, row

from udacity_gym.errors import RecordingError
from udacity_gym.recording import Recording, RecordingWriter, open_recording, tools
from udacity_gym.recording.header import FIELDS, HeaderError, parse_header
from udacity_gym.recording.writer import format_number
from udacity_gym.telemetry import CAMERAS, MPH

NAMES = (*CAMERAS, *FIELDS)
NUMBERS = [(0.1 * i - 0.2, 0.5 if i % 2 else 0.0, 0.0 if i % 2 else 0.25, 5.0 + i) for i in range(6)]

SWAPPED = (*CAMERAS, "steering", "brake", "throttle", "speed")

CULTURES: dict[str, Callable[[str], str]] = {
    "en-US": lambda text: text,
    "de-DE": lambda text: text.replace(".", ","),
    "ar-EG": lambda text: text[1:] + "-" if text.startswith("-") else text,
    "ar-MA": lambda text: (text[1:] + "-" if text.startswith("-") else text).replace(".", ","),
    "fa-IR": lambda text: text.replace(".", "/"),
    "sv-SE": lambda text: text.replace("-", "\u2212").replace(".", ","),
    "he-IL": lambda text: text.replace("-", "\u200e-"),
    "arabic digits": lambda text: text.translate(
        {ord(str(d)): chr(0x0660 + d) for d in range(10)} | {ord("."): "\u066b"}
    ),
}


def fields_of(index: int, numbers: Sequence[str], folder: str = "IMG/") -> dict[str, str]:
    """Fields of a row by the name of their column."""
    images = {camera: folder + image_name(camera, index / 10) for camera in CAMERAS}
    return images | dict(zip(FIELDS, numbers, strict=True))


def lines_in(order: Sequence[str], separator: str = ",") -> list[str]:
    rows = [fields_of(i, [format_number(value) for value in row]) for i, row in enumerate(NUMBERS)]
    return [separator.join(row.get(name, "7") for name in order) for row in rows]


def all_images(count: int = 6) -> list[str]:
    return [image_name(camera, index / 10) for index in range(count) for camera in CAMERAS]


def assert_right(recording: Recording, numbers: Sequence[Sequence[float]] = NUMBERS) -> None:
    assert len(recording) == len(numbers)
    for frame, (steering, throttle, brake, speed) in zip(recording.frames(), numbers, strict=True):
        assert frame.steering == pytest.approx(steering, abs=1e-7)
        assert (frame.throttle, frame.brake) == pytest.approx((throttle, brake), abs=1e-7)
        assert frame.speed == pytest.approx(speed * MPH, rel=1e-6)
        for camera in CAMERAS:
            assert frame.path(camera).name.startswith(camera)


@pytest.mark.parametrize("order", list(itertools.permutations(FIELDS)))
def test_the_header_decides_the_order_of_the_numbers(
    make_recording: MakeRecording, order: tuple[str, ...]
) -> None:
    columns = (*CAMERAS, *order)
    folder = make_recording([",".join(columns), *lines_in(columns)], all_images())
    assert_right(open_recording(folder, strict=True))


@pytest.mark.parametrize("cameras", list(itertools.permutations(CAMERAS)))
@pytest.mark.parametrize("header", [True, False])
def test_images_are_those_that_their_names_say(
    make_recording: MakeRecording, cameras: tuple[str, ...], header: bool
) -> None:
    columns = (*cameras, *FIELDS)
    lines = [",".join(columns)] if header else []
    recording = open_recording(make_recording([*lines, *lines_in(columns)], all_images()), strict=True)
    assert_right(recording)
    is_unusual = cameras != CAMERAS and not header
    assert recording.report.count("columns in another order") == is_unusual


def test_a_header_that_contradicts_the_names_of_the_images_is_reported(make_recording: MakeRecording) -> None:
    lines = lines_in(("left", "center", "right", *FIELDS))
    recording = open_recording(make_recording([",".join(NAMES), *lines], all_images()))
    assert_right(recording)
    assert "images of 6 rows, as their names say" in str(recording.report)


@pytest.mark.parametrize(
    "header",
    [
        "center,left,right,steering,throttle,reverse,speed",
        "Center Image,Left Image,Right Image,Steering Angle,Throttle,Brakes,Speed (mph)",
        "Mitte,links,rechts,Lenkwinkel,Gas,Bremse,Geschwindigkeit",
        "centro,izquierda,derecha,dirección,acelerador,freno,velocidad",
        "centre,gauche,droite,angle,accélérateur,frein,vitesse",
        "centro,esquerda,direita,direção,acelerador,freio,velocidade",
        "centro,sinistra,destra,sterzo,acceleratore,freno,velocità",
        "orta,sol,sağ,direksiyon,gaz,fren,hız",
        "центр,лево,право,руль,газ,тормоз,скорость",
        "中,左,右,转向,油门,刹车,速度",
        "중앙,왼쪽,오른쪽,조향,스로틀,브레이크,속도",
        "0,1,2,3,4,5,6",
        "w1,w2,w3,w4,w5,w6,w7",
    ],
)
def test_headers_in_other_words_are_no_rows(make_recording: MakeRecording, header: str) -> None:
    recording = open_recording(make_recording([header, *lines_in(NAMES)], all_images()), strict=True)
    assert_right(recording)
    assert recording.report.rows == 6
    assert recording.report.count("unknown header") == header.startswith("w")


def test_a_header_in_another_language_decides_the_order(make_recording: MakeRecording) -> None:
    header = "links,Mitte,rechts,Gas,Lenkung,Geschwindigkeit,Bremse"
    order = ("left", "center", "right", "throttle", "steering", "speed", "brake")
    assert_right(open_recording(make_recording([header, *lines_in(order)], all_images()), strict=True))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_may_be_anywhere_and_others_between_them(
    make_recording: MakeRecording, separator: str
) -> None:
    order = ("lap", "speed", "left", "note", "steering", "center", "brake", "right", "throttle", "weather")
    lines = [separator.join(order), *lines_in(order, separator)]
    assert_right(open_recording(make_recording(lines, all_images()), strict=True))


def test_an_index_column_of_pandas_is_no_part_of_a_path(make_recording: MakeRecording) -> None:
    lines = [",".join(["", *NAMES]), *(f"{i},{line}" for i, line in enumerate(lines_in(NAMES)))]
    folder = make_recording(lines, all_images())
    assert_right(open_recording(folder, strict=True))
    lines[0] = ",0,1,2,3,4,5,6"
    (folder / "driving_log.csv").write_text("\n".join(lines))
    assert_right(open_recording(folder, strict=True))


def test_a_header_inside_of_the_log_decides_the_order_below_it(make_recording: MakeRecording) -> None:
    order = (*CAMERAS, "speed", "brake", "throttle", "steering")
    lines = [",".join(NAMES), *lines_in(NAMES)[:3], ",".join(order), *lines_in(order)[3:]]
    assert_right(open_recording(make_recording(lines, all_images())))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("center,left,right,throttle,brake,speed", "line 1: the header has no column 'steering'"),
        ("left,right,steering,speed", "line 1: the header has no column 'center'"),
        ("center,left,right,angle,lenkung,brake,speed", "two columns of steering: 'angle' and 'lenkung'"),
    ],
)
def test_a_header_that_leaves_open_which_column_is_which_is_refused(
    make_recording: MakeRecording, header: str, said: str
) -> None:
    with pytest.raises(RecordingError, match=said):
        open_recording(make_recording([header, *lines_in(NAMES)], all_images()))


def test_the_exact_name_of_a_column_counts_more_than_a_similar_one() -> None:
    columns = parse_header("center,left,right,angle,steering,throttle,brake,speed")
    assert columns is not None
    assert columns.index["steering"] == 4
    with pytest.raises(HeaderError):
        parse_header("center,steer,angle")


def swapped(line: str) -> str:
    *others, throttle, brake, speed = line.split(",")
    return ",".join([*others, brake, throttle, speed])


@pytest.mark.parametrize("rows", [slice(0, 200), slice(600, 800), slice(0, 2000)])
def test_exchanged_pedals_of_the_lake_recording_are_found(
    lake_recording: Path, tmp_path: Path, rows: slice
) -> None:
    lines = (lake_recording / "driving_log.csv").read_text().splitlines()[rows]
    for name in ("right", "swapped"):
        folder = tmp_path / name
        (folder / "IMG").mkdir(parents=True)
        for line in lines:
            for path in line.split(",")[:3]:
                (folder / "IMG" / path.rpartition("\\")[2]).touch()
    (tmp_path / "right" / "driving_log.csv").write_text("\n".join(lines))
    (tmp_path / "swapped" / "driving_log.csv").write_text("\n".join(map(swapped, lines)))
    right, other = (open_recording(tmp_path / name) for name in ("right", "swapped"))
    assert right.report.count("columns in another order") == 0
    assert other.report.count("columns in another order") == 1
    assert np.array_equal(other.episodes[0].throttle, right.episodes[0].throttle)
    assert np.array_equal(other.episodes[0].brake, right.episodes[0].brake)


def test_neither_real_recording_has_columns_in_another_order(
    lake_recording: Path, jungle_recording: Path
) -> None:
    for path in (lake_recording, jungle_recording):
        assert open_recording(path).report.count("columns in another order") == 0


@pytest.mark.parametrize(
    "order", [("throttle", "steering", "brake", "speed"), ("speed", "steering", "throttle", "brake")]
)
def test_steering_and_speed_in_other_columns_are_found_without_a_header(
    make_recording: MakeRecording, order: tuple[str, ...]
) -> None:
    numbers = [(np.sin(i) / 2, 0.8, 0.0, 9.0 + i / 10) for i in range(40)]
    rows = [fields_of(i, [format_number(value) for value in row]) for i, row in enumerate(numbers)]
    lines = [",".join(row[name] for name in (*CAMERAS, *order)) for row in rows]
    recording = open_recording(make_recording(lines, all_images(40)))
    assert_right(recording, numbers)
    assert f"{', '.join(order)}, because" in str(recording.report)


def expanded(correction: float, empty: bool, order: tuple[int, ...]) -> list[str]:
    """A row for each camera, with a correction of the steering."""
    lines = []
    for i, numbers in enumerate(NUMBERS):
        rest = ",".join(map(format_number, numbers[1:]))
        names = [f"IMG/{image_name(camera, i / 10)}" for camera in CAMERAS]
        rows = []
        for camera, offset in enumerate((0.0, correction, -correction)):
            sides = ["", ""] if empty else names[1:]
            rows.append(",".join([names[camera], *sides, format_number(numbers[0] + offset), rest]))
        lines += [rows[k] for k in order]
    return lines


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_an_expanded_log_is_put_together_again(
    make_recording: MakeRecording, empty: bool, order: tuple[int, ...]
) -> None:
    recording = open_recording(make_recording(expanded(0.2, empty, order), all_images()))
    assert recording.cameras == CAMERAS
    assert_right(recording)
    assert recording.report.count("side image as center") == 12
    assert recording.report.rows == 18


def test_an_expanded_log_of_two_columns_is_put_together_again(make_recording: MakeRecording) -> None:
    lines = [",".join(line.split(",")[k] for k in (0, 3)) for line in expanded(0.2, True, (1, 0, 2))]
    recording = open_recording(make_recording(lines, all_images()))
    assert recording.cameras == CAMERAS
    assert [frame.steering for frame in recording.frames()] == pytest.approx([row[0] for row in NUMBERS])


def test_side_rows_without_their_center_row_are_left_out_or_the_log_is_refused(
    make_recording: MakeRecording,
) -> None:
    lines = expanded(0.2, True, (0, 1, 2))
    folder = make_recording([*lines[:12], lines[13], lines[16]], all_images())
    recording = open_recording(folder)
    assert len(recording) == 4
    assert recording.report.rows_of("side image without center") == (13, 14)
    (folder / "driving_log.csv").write_text("\n".join(lines[1::3]))
    with pytest.raises(
        RecordingError, match=r"only images of side cameras.*use the log that it was made from"
    ):
        open_recording(folder)


@pytest.mark.parametrize(
    ("columns", "missing", "header"),
    [
        ((*CAMERAS, "steering"), "throttle, brake, speed", False),
        ((*CAMERAS, "steering"), "throttle, brake, speed", True),
        (("center", "steering"), "throttle, brake, speed", False),
        (("center", "steering", "speed"), "throttle, brake", True),
        ((*CAMERAS, "steering", "throttle"), "brake, speed", True),
    ],
)
def test_a_log_with_fewer_columns_is_used_as_far_as_it_goes(
    make_recording: MakeRecording, columns: tuple[str, ...], missing: str, header: bool
) -> None:
    lines = [",".join(columns)] if header else []
    recording = open_recording(make_recording([*lines, *lines_in(columns)], all_images()), strict=True)
    assert [frame.steering for frame in recording.frames()] == pytest.approx([row[0] for row in NUMBERS])
    (finding,) = [finding for finding in recording.report if finding.kind.name == "not recorded"]
    assert (finding.detail, finding.count) == (missing, 6)
    if "speed" in missing:
        assert recording.report.count("standing still") == 0
        assert not np.concatenate([episode.speed for episode in recording.episodes]).any()
    assert "nan" not in str(recording.report)


def test_steering_in_degrees_is_scaled_and_reported(make_recording: MakeRecording) -> None:
    lines = [row(i / 10, f"{-12.5 + 5 * i},0.5,0,10") for i in range(6)]
    recording = open_recording(make_recording(lines), strict=True)
    assert [frame.steering for frame in recording.frames()] == pytest.approx(
        [-0.5 + 0.2 * i for i in range(6)]
    )
    assert "up to 12.5; divided by 25" in str(recording.report)


def test_steering_beyond_the_angle_of_the_wheels_is_refused(make_recording: MakeRecording) -> None:
    lines = [row(i / 10, f"{-90 + 30 * i},0.5,0,10") for i in range(6)]
    with pytest.raises(RecordingError, match=r"steering reaches 90, which is neither .* nor"):
        open_recording(make_recording(lines))


@pytest.mark.parametrize(
    "lines",
    [
        [",".join(SWAPPED), *lines_in(SWAPPED)],
        [row(i / 10, f"{-12.5 + 5 * i},0.5,0,10") for i in range(6)],
    ],
)
def test_rows_are_added_only_to_a_log_with_the_same_columns(
    make_recording: MakeRecording, lines: list[str]
) -> None:
    folder = make_recording(lines, all_images())
    before = (folder / "driving_log.csv").read_bytes()
    with pytest.raises(RecordingError, match=r"other columns than Udacity's.*udacity-gym data fix"):
        RecordingWriter(folder, append=True)
    assert (folder / "driving_log.csv").read_bytes() == before
    steering = open_recording(folder).episodes[0].steering
    fixed = tools.fix(folder, progress=False)
    assert fixed.episodes[0].steering == pytest.approx(steering, abs=1e-7)
    with RecordingWriter(folder, append=True) as writer:
        writer.write({camera: make_image(0) for camera in CAMERAS}, 0.5, 0.25, 0.0, 3.0, 0.0)
    frame = open_recording(folder).episodes[-1][-1]
    assert (frame.steering, frame.throttle, frame.brake) == (0.5, 0.25, 0.0)


@pytest.mark.parametrize("copy", [tools.fix, tools.merge])
def test_a_copy_lacks_what_was_not_recorded(
    make_recording: MakeRecording, tmp_path: Path, copy: Callable[..., Recording]
) -> None:
    """Zeros in its place would be learned."""
    poor = make_recording(lines_in((*CAMERAS, "steering")), all_images())
    steering = open_recording(poor).episodes[0].steering
    for output in (tmp_path / "copy", tmp_path / "copy of the copy"):
        recording = copy(poor, output, progress=False)
        assert recording.episodes[0].unrecorded == {"throttle", "brake", "speed"}
        assert recording.episodes[0].steering == pytest.approx(steering, abs=1e-7)
        poor = output
    lines = (poor / "driving_log.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("center,left,right,steering,speed", len(steering) + 1)
    assert tools.fix(poor, progress=False).episodes[0].unrecorded == {"throttle", "brake", "speed"}
    assert (poor / "driving_log.csv").read_text().splitlines() == lines
    with pytest.raises(RecordingError, match=r"so no rows can be added; .* record into another folder"):
        RecordingWriter(poor, append=True)
    whole = tmp_path / "whole"
    with RecordingWriter(whole) as writer:
        writer.write({camera: make_image(0) for camera in CAMERAS}, 0.5, 0.25, 0.0, 3.0, 0.0)
    with pytest.raises(RecordingError, match="throttle, brake, speed recorded in some episodes"):
        tools.merge([poor, whole], tmp_path / "both", progress=False)
    assert not (tmp_path / "both").exists()


def test_a_recording_with_a_header_and_no_frame_leaves_nothing_behind(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, numbers=("steering",)) as writer:
        writer.write({camera: make_image(0) for camera in CAMERAS}, 0.5, 0.25, 0.0, 3.0, 0.0)
        writer.discard_last()
    assert not list(tmp_path.iterdir())


FLOATS = st.floats(0, 1, width=32)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    numbers=st.lists(
        st.tuples(st.floats(-1, 1, width=32), FLOATS, FLOATS, st.floats(0, 80, width=32)),
        min_size=1,
        max_size=5,
    ),
    cameras=st.permutations(CAMERAS),
    fields=st.permutations(FIELDS),
    images_first=st.booleans(),
    extra=st.sampled_from([(), ("lap",)]),
    folder=st.sampled_from(["", "IMG/", "C:\\drive 1\\IMG\\", "/Users/jo é/lap1/IMG/"]),
    separator=st.sampled_from([",", ", ", ";", "\t"]),
    culture=st.sampled_from(sorted(CULTURES)),
    quotes=st.booleans(),
    excel=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    zeros=st.integers(0, 5),
)
def test_a_log_in_any_dialect_culture_and_order_of_columns_reads_back_equal(
    tmp_path: Path,
    numbers: list[tuple[float, ...]],
    cameras: list[str],
    fields: list[str],
    images_first: bool,
    extra: tuple[str, ...],
    folder: str,
    separator: str,
    culture: str,
    quotes: bool,
    excel: bool,
    encoding: str,
    ending: str,
    zeros: int,
) -> None:
    order = [*cameras, *fields, *extra] if images_first else [*fields, *cameras, *extra]
    written = [[format_number(value) for value in row] for row in numbers]
    lines = ["sep=;"] if excel and separator == ";" else []
    lines.append(separator.join(order))
    (tmp_path / "IMG").mkdir(exist_ok=True)
    for index, texts in enumerate(written):
        texts = list(map(CULTURES[culture], texts))
        if quotes or separator.startswith(","):  # as spreadsheets write a number with a comma
            texts = [f'"{text}"' if "," in text else text for text in texts]
        row = fields_of(index, texts, folder)
        for camera in CAMERAS:
            (tmp_path / "IMG" / image_name(camera, index / 10)).touch()
        lines.append(separator.join(row.get(name, "7") for name in order))
    text = ending.join(lines) + ending + "\0" * zeros
    (tmp_path / "driving_log.csv").write_bytes(text.encode(encoding))

    recording = open_recording(tmp_path, strict=True)

    assert_right(recording, [[float(text) for text in texts] for texts in written])
    assert recording.report.count("zero bytes") == bool(zeros)
