"""The pages about recordings run as they stand, and print what they say."""

from pathlib import Path

import pytest

from tests.pages import ROOT, run_page


@pytest.mark.parametrize("page", ["recordings.md", "recording-tools.md"])
def test_the_pages_about_recordings_run_and_print_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / page)["env"].close()
