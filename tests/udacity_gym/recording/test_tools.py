"""Edits are a list on top that can be taken back; fix and merge write clean recordings."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from recording_tools import MakeRecording, image_name, make_image, row

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import Recording, RecordingWriter, open_recording, tools
from udacity_gym.recording.balance import balance_weights, balanced, steering_histogram
from udacity_gym.recording.edits import EDITS, Edit
from udacity_gym.telemetry import CAMERAS, MPH

SECONDS = [index / 10 + (60 if index >= 30 else 0) for index in range(50)]


@pytest.fixture
def drive(make_recording: MakeRecording) -> Path:
    """Two episodes of 3 s and 2 s; mostly straight."""
    steering = [0.0 if index % 5 else round(np.sin(index), 4) for index in range(50)]
    lines = [row(s, f"{v},0.5,0,10", "C:\\far\\IMG\\") for s, v in zip(SECONDS, steering, strict=True)]
    return make_recording(lines, [image_name(c, s) for s in SECONDS for c in CAMERAS])


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(recording: Recording) -> list[list[int]]:
    return [episode.row.tolist() for episode in recording.episodes]


def test_trim_leaves_out_the_ends_of_takes(drive: Path) -> None:
    tools.trim(drive, start=0.5, end=0.25)
    first, second = rows(open_recording(drive))
    assert first == list(range(6, 28))
    assert second == list(range(36, 48))
    tools.trim(drive, start=1.0, episodes=[1])
    assert rows(open_recording(drive)) == [list(range(6, 28)), list(range(46, 48))]


def test_split_cuts_takes_by_time_or_before_rows(drive: Path) -> None:
    tools.split(drive, seconds=1)
    assert [len(episode) for episode in rows(open_recording(drive))] == [10, 10, 10, 10, 10]
    tools.undo(drive)
    tools.split(drive, rows=(6, 41))
    recording = open_recording(drive)
    assert rows(recording) == [[*range(1, 6)], [*range(6, 31)], [*range(31, 41)], [*range(41, 51)]]
    assert recording.episodes[1].time[0] == 0.0
    assert len(recording) == 50


def test_balance_flattens_the_histogram_and_leaves_rare_steering_alone(drive: Path) -> None:
    before = np.concatenate([e.steering for e in open_recording(drive).episodes])
    tools.balance(drive, bins=9, keep=5, seed=1)
    after = np.concatenate([e.steering for e in open_recording(drive).episodes])
    counts, left = np.histogram(before, 9, (-1, 1))[0], np.histogram(after, 9, (-1, 1))[0]
    assert left.tolist() == np.minimum(counts, 5).tolist()
    assert counts.max() > 35


@given(
    steering=st.lists(st.floats(-1, 1), min_size=1, max_size=200),
    bins=st.integers(1, 30),
    keep=st.none() | st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_balancing_keeps_of_every_bin_what_there_is_up_to_the_limit(
    steering: list[float], bins: int, keep: int | None, seed: int
) -> None:
    values = np.array(steering)
    kept = tools.balanced(values, bins, keep, seed)
    which = np.clip(((values + 1) * bins / 2).astype(int), 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    most = keep if keep is not None else int(np.ceil(counts[counts > 0].mean()))
    assert np.bincount(which[kept], minlength=bins).tolist() == np.minimum(counts, most).tolist()
    assert np.array_equal(kept, tools.balanced(values, bins, keep, seed))


def test_edits_leave_the_recording_as_it_is_and_can_be_taken_back(drive: Path) -> None:
    before = files(drive)
    original = rows(open_recording(drive))
    tools.trim(drive, start=0.5)
    trimmed = rows(open_recording(drive))
    tools.balance(drive)
    tools.leave_out(drive, [20, 21])
    edited = files(drive)
    assert {name: data for name, data in edited.items() if name != EDITS} == before
    assert [edit.verb for edit in tools.edits_of(drive)] == ["trim", "balance", "leave_out"]
    assert rows(open_recording(drive, edits=False)) == original
    assert [edit.verb for edit in tools.undo(drive)] == ["leave_out"]
    tools.undo(drive)
    assert rows(open_recording(drive)) == trimmed
    assert len(tools.undo(drive, everything=True)) == 1
    assert files(drive) == before
    assert tools.undo(drive) == []


def test_what_edits_leave_out_is_in_the_report(drive: Path) -> None:
    tools.leave_out(drive, [3, 4, 50])
    report = open_recording(drive).report
    assert report.rows_of("left out by an edit") == (3, 4, 50)
    assert report.used == 47
    assert "leave_out" in str(report)


def test_an_edit_that_would_leave_nothing_is_refused(drive: Path) -> None:
    with pytest.raises(OptionError, match="would leave no frame"):
        tools.trim(drive, start=10)
    assert not (drive / EDITS).exists()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: tools.trim(p, start=-1), "must be 0 or more seconds"),
        (
            lambda p: tools.trim(p, start=1, episodes=[2]),
            "has 2 episodes, counted from 0; there is no episode 2",
        ),
        (lambda p: tools.split(p), "choose where to split"),
        (lambda p: tools.split(p, seconds=0), "seconds must be positive"),
        (lambda p: tools.split(p, rows=(99,)), "no usable row 99"),
        (lambda p: tools.balance(p, bins=0), "bins and keep must be 1 or more"),
    ],
)
def test_options_that_make_no_sense_are_refused(drive: Path, call: object, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        call(drive)  # type: ignore[operator]
    assert not (drive / EDITS).exists()


def test_edits_are_never_applied_to_a_log_that_was_changed(drive: Path) -> None:
    tools.leave_out(drive, [3])
    log = drive / "driving_log.csv"
    original = log.read_bytes()
    log.write_bytes(original + original.splitlines(keepends=True)[0])  # a row that was appended is fine
    assert open_recording(drive).report.rows_of("left out by an edit") == (3,)
    log.write_bytes(b"".join(original.splitlines(keepends=True)[1:]))
    with pytest.raises(RecordingError, match=r"was changed since edits\.jsonl was written"):
        open_recording(drive)
    assert len(open_recording(drive, edits=False)) == 49


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    text=st.one_of(
        st.text(max_size=80),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5) | st.floats(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["edit", "arguments", "log", "leave_out", "cut_before"]), inner
                )
            ),
            max_leaves=12,
        ).map(json.dumps),
    )
)
def test_any_file_of_edits_opens_or_says_what_to_do(drive: Path, text: str) -> None:
    (drive / EDITS).write_text(text, encoding="utf-8", newline="")
    try:
        assert len(open_recording(drive)) <= 50
    except RecordingError as error:
        assert "edits" in str(error)  # noqa: PT017 - most texts raise, an empty one does not


def test_edits_that_leave_nothing_say_so(drive: Path) -> None:
    tools.leave_out(drive, [1])
    edit = json.loads((drive / EDITS).read_text())
    (drive / EDITS).write_text(json.dumps(edit | {"leave_out": [[1, 50]]}))
    with pytest.raises(RecordingError, match="leaves no frame of the recording: undo an edit"):
        open_recording(drive)
    assert len(tools.undo(drive)) == 1
    assert len(open_recording(drive)) == 50


def test_a_file_of_edits_can_not_fill_the_memory() -> None:
    line = json.dumps(
        {"edit": "x", "arguments": {}, "log": [0, 0], "leave_out": [[1, 1 << 39]], "cut_before": []}
    )
    with pytest.raises(ValueError, match="more rows than a log has"):
        Edit.from_json(line)


def test_a_zip_is_never_edited_and_several_recordings_not_at_once(drive: Path) -> None:
    import shutil

    archive = shutil.make_archive(str(drive.parent / "packed"), "zip", drive)
    with pytest.raises(RecordingError, match="is in a zip file, which is never written to"):
        tools.trim(archive, start=1)
    with pytest.raises(RecordingError, match="2 recordings can't be edited at once"):
        tools.check([drive, drive], leave_out_unusable=True)


def test_check_can_leave_out_what_it_finds(drive: Path) -> None:
    (drive / "IMG" / image_name("left", SECONDS[6])).write_bytes(b"no image")
    report = tools.check(drive, leave_out_unusable=True, progress=False)
    assert report.rows_of("broken image") == (7,)
    assert 7 not in rows(open_recording(drive))[0]
    assert len(tools.check(drive, progress=False).rows_of("broken image")) == 0


def test_fix_rewrites_the_log_and_keeps_the_old_one(drive: Path) -> None:
    log = drive / "driving_log.csv"
    lines = log.read_text().splitlines()
    lines[4] = lines[4].replace(",10", ",fast")
    log.write_text("center, left, right, steering, throttle, brake, speed\n" + "\r\n".join(lines))
    before, images = log.read_bytes(), {n: d for n, d in files(drive).items() if n.startswith("IMG")}
    tools.trim(drive, start=0.2)
    tools.split(drive, seconds=1)
    expected = open_recording(drive)
    frames = [(f.steering, f.speed, f.path().name) for f in expected.frames()]
    fixed = tools.fix(drive)
    assert [(f.steering, pytest.approx(f.speed), f.path().name) for f in fixed.frames()] == frames
    assert [len(e) for e in fixed.episodes] == [len(e) for e in expected.episodes]
    assert (drive / "driving_log.csv.bak").read_bytes() == before
    assert {n: d for n, d in files(drive).items() if n.startswith("IMG")} == images
    text = log.read_text()
    assert text.startswith("IMG/center_2018_07_16_17_11_00_200.jpg,IMG/left_")
    assert "C:" not in text
    assert [edit.verb for edit in tools.edits_of(drive)] == ["split"]  # nothing in a log can say a cut
    tools.fix(drive)
    assert (drive / "driving_log.csv.bak").read_bytes() == before


def test_fix_makes_a_clean_copy_elsewhere(drive: Path, tmp_path: Path) -> None:
    (drive / "IMG" / image_name("left", SECONDS[6])).unlink()
    (drive / "frames.jsonl").write_text(f'{{"image": "{image_name("center", 0.2)}", "cte": 0.5}}\n')
    tools.leave_out(drive, [1])
    before = files(drive)
    copy = tools.fix(drive, tmp_path / "clean", progress=False)
    assert files(drive) == before
    assert len(copy) == 48
    assert [finding.kind.name for finding in copy.report] == []
    assert copy.episodes[0][1].extra == {"cte": 0.5}
    assert open_recording(tmp_path / "clean", strict=True).episodes[0][0].path().name == image_name(
        "center", 0.1
    )
    for ours, theirs in zip(copy.frames(), open_recording(drive).frames(), strict=True):
        assert ours.data("left") == theirs.data("left")
    with pytest.raises(RecordingError, match="exists already; choose another folder"):
        tools.fix(drive, tmp_path / "clean")


def test_merge_keeps_all_takes_apart_and_every_image_as_it_was(drive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with RecordingWriter(other) as writer:
        for index in range(4):
            images = {camera: make_image(index) for camera in CAMERAS}
            writer.write(images, 0.25, 0, 0.5, 3.0, index / 15, {"driver": "me"})
    merged = tools.merge([drive, other, drive], tmp_path / "all", progress=False)
    assert [len(episode) for episode in merged.episodes] == [30, 20, 4, 30, 20]
    assert len(merged.report) == 0
    assert merged.episodes[2].brake.tolist() == [0.5] * 4
    assert merged.episodes[2][3].extra == {"driver": "me"}
    assert merged.episodes[0].time == pytest.approx(merged.episodes[3].time)
    source = open_recording(drive)
    assert merged.episodes[4][19].data("right") == source.episodes[1][19].data("right")
    assert merged.episodes[3].speed == pytest.approx(10 * MPH)


def test_merge_of_recordings_with_different_cameras_keeps_what_all_have(drive: Path, tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "one", cameras=("center",)) as writer:
        writer.write({"center": make_image(0)}, 0, 0, 0, 1.0, 0.0)
    merged = tools.merge([drive, tmp_path / "one"], tmp_path / "all", progress=False)
    assert merged.cameras == ("center",)
    assert len(merged) == 51


def test_png_images_and_names_without_time_survive_a_merge(
    make_recording: MakeRecording, tmp_path: Path
) -> None:
    images = {
        f"{camera}_{index}.png": cv2.imencode(".png", make_image(index))[1].tobytes()
        for index in range(3)
        for camera in CAMERAS
    }
    lines = [
        ",".join([*(f"{camera}_{index}.png" for camera in CAMERAS), f"0.{index},0,0,9"]) for index in range(3)
    ]
    folder = make_recording(lines, images)
    merged = tools.merge(folder, tmp_path / "all", progress=False)
    assert merged.episodes[0].steering.tolist() == [0.0, 0.1, 0.2]
    assert np.array_equal(merged.episodes[0][2].image(), make_image(2)[..., ::-1])
    assert merged.episodes[0][0].path().suffix == ".png"


def test_a_copy_that_fails_leaves_nothing_behind(drive: Path, tmp_path: Path) -> None:
    recording = open_recording(drive)
    recording.episodes[1].path("center", 5).unlink()
    (drive / "IMG" / image_name("center", SECONDS[35])).symlink_to("/nowhere")
    frames = tools.NewEpisode(
        (
            tools.NewFrame({"center": frame.data()}, 0, 0, 0, 1, frame.time, {})
            for frame in recording.episodes[1]
        ),
    )
    with pytest.raises(RecordingError, match="can't be read"):
        tools.write_episodes(tmp_path / "copy", [frames], ("center",), progress=False)
    assert not list(tmp_path.glob("copy*"))


def test_no_frames_are_balanced_to_no_frames() -> None:
    none = np.empty(0)
    assert balanced(none).tolist() == balance_weights(none, 0.5).tolist() == []
    assert steering_histogram(none, 5)[1].tolist() == [0] * 5
