"""The example of behavioural cloning."""

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
    clone_the_expert = runpy.run_path(str(EXAMPLE))["clone_the_expert"]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            clone_the_expert(tmp_path / "output", seed=0, epochs=1)
        assert not list((tmp_path / "output").iterdir())
    assert len(started) == 2
