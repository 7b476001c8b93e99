"""The example of behavioural cloning keeps what it promises."""

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "behavioral_cloning_from_log.py"


def test_half_a_recording_is_not_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    def interrupted(_env: Any, _expert: Any, folder: Path, **_options: Any) -> None:
        assert not folder.exists()
        folder.mkdir()
        started.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr("udacity_gym.recording.record", interrupted)
    clone_expert = runpy.run_path(str(EXAMPLE))["clone_expert"]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            clone_expert(tmp_path / "output", seed=0, epochs=1)
        assert not list((tmp_path / "output").iterdir())
    assert len(started) == 2


@pytest.mark.long
def test_the_clone_of_the_expert_drives_three_laps_without_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), "--expert", "--seeds", "1"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")  # ends by asserting laps and speed
    assert "3 of 3" in capsys.readouterr().out


@pytest.mark.long
def test_the_clone_of_a_person_steers_better_than_what_needs_no_learning(
    lake_recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), str(lake_recording), "--seeds", "0"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")  # ends by asserting the errors on unseen rows
    assert "2000 of 2000 rows" in capsys.readouterr().out
