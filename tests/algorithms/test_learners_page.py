"""The page about learners runs as it stands, and prints what it says."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "learners.md"


@pytest.mark.long
def test_every_code_block_of_the_learners_page_runs_and_prints_what_it_says(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("laps").symlink_to(road_recording)
    blocks = re.findall(r"^```(python|text)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 8
    names: dict[str, Any] = {}
    printed = ""
    for kind, block in blocks:
        if kind == "text":
            assert printed == block
        else:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block, str(PAGE), "exec"), names)
            printed = output.getvalue()
    names["env"].close()
