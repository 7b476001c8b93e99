"""The example of DAgger keeps what it promises."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "dagger.py"


@pytest.mark.long
def test_dagger_falls_less_often_than_cloning_on_as_many_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rounds", "5", "--frames", "600", "--output", str(tmp_path)]
    runpy.run_path(str(EXAMPLE))["main"](arguments)  # ends by asserting the outcome
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5]
    assert (tmp_path / "dagger.png").stat().st_size > 10_000
