"""Heads of logs found in the wild parse as their manifest says."""

import csv
import os
import re
from pathlib import Path

import pytest

from udacity_gym.errors import RecordingError
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import CAMERAS, MPH

HEADS = (
    Path(os.environ.get("UDACITY_GYM_RECORDINGS", Path(__file__).parents[4] / "shared" / "recordings"))
    / "log-heads"
)
FOREIGN = {
    "transcribed_early_sim_telemetry_first": "pre-release simulator of August 2016",
    "transcribed_other_sim_cil_png": "conditional imitation learning",
    "transcribed_other_sim_webots_2cols_crlf": "Webots",
}


def manifest() -> list[dict[str, str]]:
    path = HEADS / "MANIFEST.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "head" in metafunc.fixturenames:
        heads = manifest() or [pytest.param(None, marks=pytest.mark.skip(f"no log heads at {HEADS}"))]
        metafunc.parametrize("head", heads, ids=lambda head: head["file"] if head else "none")


def foreign(head: dict[str, str]) -> str | None:
    return next((whose for start, whose in FOREIGN.items() if head["file"].startswith(start)), None)


def test_a_log_found_in_the_wild_parses_as_the_manifest_says(head: dict[str, str], tmp_path: Path) -> None:
    data = (HEADS / head["file"]).read_bytes()
    (tmp_path / "driving_log.csv").write_bytes(data)
    names = set(re.findall(rb"[^/\\,\s]+\.(?:jpg|png)", data))
    (tmp_path / ("IMG2" if b"IMG2/" in data else "IMG")).mkdir()
    for name in names:
        next(tmp_path.glob("IMG*")).joinpath(name.decode()).touch()
    if (whose := foreign(head)) is not None:
        with pytest.raises(RecordingError, match=f"not a log of Udacity's simulator.*{whose}"):
            open_recording(tmp_path)
        return

    recording = open_recording(tmp_path, strict=True)

    assert len(recording) == recording.report.rows == int(head["rows"])
    assert recording.cameras == CAMERAS
    frames = sorted(recording.frames(), key=lambda frame: frame.row)
    for which, frame in (("first", frames[0]), ("last", frames[-1])):
        assert frame.steering == float(head[f"steer_{which}"])
        assert frame.speed == pytest.approx(float(head[f"speed_{which}"]) * MPH, rel=1e-12)
        assert frame.path("center").name == head[f"center_{which}"]
    assert frames[0].path("left").name == head["left_first"]
    assert frames[0].path("right").name == head["right_first"]
    assert frames[0].row == (2 if head["header"] else 1)


def test_the_manifest_has_all_the_heads_and_three_are_of_other_programs(log_heads: Path) -> None:
    heads = manifest()
    assert {head["file"] for head in heads} == {
        p.name for p in log_heads.glob("*.csv") if p.name != "MANIFEST.csv"
    }
    assert sum(foreign(head) is not None for head in heads) == len(FOREIGN)


def test_the_log_with_a_pause_is_split_there(log_heads: Path, tmp_path: Path) -> None:
    data = (log_heads / "session_gap_jonas.csv").read_bytes()
    (tmp_path / "driving_log.csv").write_bytes(data)
    for name in re.findall(rb"[^/\\,\s]+\.jpg", data):
        (tmp_path / name.decode()).touch()
    recording = open_recording(tmp_path)
    assert [len(episode) for episode in recording.episodes] == [20, 20]
    assert recording.episodes[1].time[0] == 0.0
