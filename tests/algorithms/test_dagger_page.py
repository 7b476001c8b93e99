"""The page about interactive learners runs as it stands, and prints what it says."""

from pathlib import Path

import pytest
from pages import ROOT, run_page


@pytest.mark.long
def test_every_code_block_of_the_dagger_page_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / "dagger.md")
