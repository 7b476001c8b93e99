"""The page about learners runs as it stands, and prints what it says."""

from pathlib import Path

import pytest
from pages import ROOT, run_page


@pytest.mark.long
def test_every_code_block_of_the_learners_page_runs_and_prints_what_it_says(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("laps").symlink_to(road_recording)
    names = run_page(ROOT / "docs" / "learners.md")
    names["env"].close()
