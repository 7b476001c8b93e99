"""The page about experts runs as it stands, and prints what it says."""

from pathlib import Path

import pytest

from tests.pages import ROOT, run_page


def test_every_code_block_of_the_experts_page_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / "experts.md")
