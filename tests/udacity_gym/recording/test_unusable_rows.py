"""What is wrong with rows is found, counted, shown, and left out."""

import re

import pytest
from recording_tools import MakeRecording, image_name, row

from udacity_gym.errors import RecordingError
from udacity_gym.recording import Recording, open_recording
from udacity_gym.telemetry import CAMERAS

LINES = [row(index / 10, f"0.{index},0.5,0,10") for index in range(6)]


def findings(recording: Recording) -> dict[str, tuple[int, ...]]:
    return {finding.kind.name: finding.rows for finding in recording.report}


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        (row(0.2, "0,fast,0,10"), "not a number", "throttle is 'fast'"),
        (row(0.2, "0,0.5,0,-1"), "out of range", "speed is -1"),
        (row(0.2, "0,1,0,5,3"), "ambiguous numbers", "0,1,0,5,3 may mean"),
        (row(9.9), "missing image", image_name("center", 9.9)),
        (LINES[1], "duplicate", "of row 2"),
        ("IMG/center_1.jpg,half a row", "unreadable row", "1 images"),
        ("x" * 20_000, "unreadable row", "20000 characters"),
    ],
)
def test_a_bad_row_is_left_out_reported_and_raised_if_strict(
    make_recording: MakeRecording, bad: str, kind: str, said: str
) -> None:
    lines = [*LINES[:2], bad, *LINES[3:]]
    folder = make_recording(lines)
    recording = open_recording(folder)
    assert [frame.row for frame in recording.frames()] == [1, 2, 4, 5, 6]
    assert recording.report.rows_of(kind) == (3,)
    assert recording.report.left_out == 1
    assert recording.report.unusable == (3,)
    assert (folder / "driving_log.csv").read_text().count("\n") == 6  # left out, never deleted
    with pytest.raises(RecordingError, match=f"driving_log.csv, row 3, {kind}.*{re.escape(said)}"):
        open_recording(folder, strict=True)


def test_the_report_prints_as_a_table_with_count_rows_and_advice(make_recording: MakeRecording) -> None:
    lines = [LINES[0], row(0.1, "0,x,0,1"), row(0.2, "0,x,0,1"), LINES[3], row(0.4, "0,y,0,1"), LINES[5]]
    report = open_recording(make_recording(lines)).report
    title, header, rule, *body = str(report).splitlines()
    assert title.endswith("driving_log.csv: 3 of 6 rows used, 1 episode")
    assert header.split("  ")[0] == "finding"
    assert set(rule) <= set("- ")
    assert re.match(r"not a number +3 +no +2-3, 5 +throttle is 'x' +correct the field", body[0])


def test_a_good_recording_has_nothing_to_report(make_recording: MakeRecording) -> None:
    report = open_recording(make_recording(LINES)).report
    assert len(report) == 0
    assert str(report).endswith("6 of 6 rows used, 1 episode; nothing to report")


def test_rows_out_of_order_are_sorted_by_time_and_reported(make_recording: MakeRecording) -> None:
    recording = open_recording(make_recording([LINES[index] for index in (0, 2, 1, 3, 5, 4)]), strict=True)
    assert recording.episodes[0].steering.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert recording.episodes[0].row.tolist() == [1, 3, 2, 4, 6, 5]
    assert findings(recording) == {"time runs backwards": (3, 6)}


def test_takes_are_split_where_time_has_a_gap(make_recording: MakeRecording) -> None:
    seconds = [0, 0.1, 0.2, 5.0, 5.1, 6.0, 7.1]
    images = [image_name(camera, second) for second in seconds for camera in CAMERAS]
    recording = open_recording(make_recording([row(second) for second in seconds], images))
    assert [len(episode) for episode in recording.episodes] == [3, 3, 1]
    assert recording.episodes[1].time.tolist() == pytest.approx([0.0, 0.1, 1.0])


def test_images_without_time_stamps_count_fifteen_a_second(make_recording: MakeRecording) -> None:
    images = [f"{camera}_{index}.png" for index in range(3) for camera in CAMERAS]
    lines = [",".join([*images[3 * index : 3 * index + 3], "0,0,0,9"]) for index in range(3)]
    recording = open_recording(make_recording(lines, images))
    assert recording.episodes[0].time.tolist() == pytest.approx([0, 1 / 15, 2 / 15])
    assert findings(recording) == {"no time stamp": (1, 2, 3)}


def test_standing_still_is_reported_and_kept_but_can_be_left_out(make_recording: MakeRecording) -> None:
    lines = [row(0.0, "0,0,0,7.927273E-05"), *LINES[1:5], row(0.5, "0,0,0,0.1")]
    recording = open_recording(make_recording(lines), strict=True)
    assert findings(recording) == {"standing still": (1, 6)}
    assert len(recording) == 6
    driving = recording.without(recording.report.rows_of("standing still"))
    assert [frame.row for frame in driving.frames()] == [2, 3, 4, 5]
    assert driving.episodes[0].time[0] == 0.0
    assert len(driving.without(range(10)).episodes) == 0
