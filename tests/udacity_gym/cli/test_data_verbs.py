"""``udacity-gym data``, through `main` as the shell calls it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from udacity_gym.cli import main
from udacity_gym.recording import RecordingWriter, open_recording
from udacity_gym.telemetry import CAMERAS


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Four seconds, mostly straight, around a bend of the lake."""
    rng = np.random.default_rng(0)
    with RecordingWriter(tmp_path / "drive") as writer:
        for index in range(60):
            image = np.asarray(cv2.resize(rng.integers(0, 256, (4, 8, 3), np.uint8), (320, 160)), np.uint8)
            extra = {"pose": [index, index**2 / 60, 0, 0], "progress": index * 0.7, "track": "lake"}
            extra |= {"driver": "expert" if index < 40 else "policy", "intervention": index > 55}
            steering = 0.0 if index % 10 else 0.3
            writer.write(dict.fromkeys(CAMERAS, image), steering, 0.5, 0, 10.0, index / 15, extra)
    return tmp_path / "drive"


def run(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


def test_info_tells_what_a_recording_has(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", drive) == 0
    said = capsys.readouterr().out
    for text in ("60 in 1 episode", "0 min 4 s, 39 m", "90% straight, 0% left, 10% right", "track", "lake"):
        assert text in said
    assert "expert (40 frames), policy (20 frames)" in said
    assert "taken over" in said
    assert "4 frames" in said
    assert "60 of 60 rows used" in said
    assert run("info", drive, drive) == 0
    assert "2 recordings: 120 of 120 rows used, 2 episodes" in capsys.readouterr().out


def test_plot_draws_a_page(drive: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in drive.rglob("*") if path.is_file()}
    assert run("plot", drive, "--output", tmp_path / "page.png") == 0
    page = cv2.imread(str(tmp_path / "page.png"))
    assert page.shape[0] > 600
    assert page.shape[1] > 800
    assert len(np.unique(page[-300:].reshape(-1, 3), axis=0)) > 5_000  # the contact sheet has images
    assert {path: path.read_bytes() for path in drive.rglob("*") if path.is_file()} == before
    assert run("plot", drive, "--output", tmp_path / "page.bmp") == 2


def test_check_finds_broken_images_and_leaves_them_out(
    drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", drive) == 0
    open_recording(drive).episodes[0].path("left", 9).write_bytes(b"\xff\xd8")
    assert run("check", drive) == 1
    assert "broken image" in capsys.readouterr().out
    assert run("check", drive, "--leave-out") == 0
    assert run("check", drive) == 0
    assert len(open_recording(drive)) == 59


def test_edits_are_made_listed_and_taken_back(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trim", drive, "--start", 1, "--episodes", 0) == 0
    assert run("split", drive, "--seconds", 1) == 0
    assert run("balance", drive, "--keep", 10) == 0
    capsys.readouterr()
    assert run("info", drive) == 0
    said = capsys.readouterr().out
    assert "edit 1" in said
    assert "trim(start=1.0, end=0.0, episodes=[0]): leaves out 15 rows (1-15)" in said
    assert "left out by an edit" in said
    assert run("undo", drive) == 0
    assert "undone: balance" in capsys.readouterr().out
    assert run("undo", drive, "--everything") == 0
    assert run("undo", drive) == 0
    assert "has no edits" in capsys.readouterr().out
    assert len(open_recording(drive)) == 60


def test_fix_and_merge_write_clean_recordings(drive: Path, tmp_path: Path) -> None:
    assert run("trim", drive, "--end", 1) == 0
    assert run("fix", drive, "--output", tmp_path / "clean") == 0
    assert run("merge", drive, tmp_path / "clean", "--output", tmp_path / "both") == 0
    assert [len(episode) for episode in open_recording(tmp_path / "both").episodes] == [45, 45]
    assert run("fix", drive) == 0
    assert (drive / "driving_log.csv.bak").exists()
    assert len(open_recording(drive)) == 45


def test_convert_goes_both_ways(drive: Path, tmp_path: Path) -> None:
    assert run("convert", drive, tmp_path / "tub", "--to", "donkeycar") == 0
    assert run("convert", tmp_path / "tub", tmp_path / "back", "--origin", "donkeycar") == 0
    assert len(open_recording(tmp_path / "back", strict=True)) == 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("info", "nowhere"), "no such file or folder: nowhere"),
        (("trim", "{drive}"), "choose how many seconds to remove"),
        (("split", "{drive}"), "choose where to split"),
        (("convert", "{drive}", "x"), "choose a direction"),
        (("merge", "{drive}", "--output", "{drive}"), "exists already"),
    ],
)
def test_mistakes_end_with_code_2_and_a_sentence(
    drive: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run(*(text.format(drive=drive) for text in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("udacity-gym data: ")
    assert said in error


def test_help_names_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = capsys.readouterr().out
    for job in ("info", "plot", "check", "fix", "split", "trim", "merge", "balance", "undo", "convert"):
        assert f"\n    {job}" in said
        assert run(job, "--help") == 0
    assert run() == 2
