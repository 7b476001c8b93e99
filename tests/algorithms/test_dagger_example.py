"""The example of DAgger keeps what it promises."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "dagger.py"


@pytest.mark.long
def test_dagger_falls_less_often_than_cloning_on_as_many_labels(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLE, "--rounds", "5", "--frames", "600", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # asserts the outcome
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5]
    assert (tmp_path / "dagger.png").stat().st_size > 10_000
