"""The page about evaluation runs as it stands, and prints what it says."""

from pathlib import Path

import pytest

from tests.pages import ROOT, run_page
from udacity_gym.evaluation.suites import BUILT_IN


@pytest.mark.long
def test_every_code_block_of_the_evaluation_page_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_page(ROOT / "docs" / "evaluation.md")
    assert names["report"].stat().st_size > 50_000


def test_the_page_names_every_suite_that_is_built_in() -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert [suite.name for suite in BUILT_IN if f"`{suite.name}`" not in page] == []
