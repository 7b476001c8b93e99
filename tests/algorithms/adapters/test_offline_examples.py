"""Offline reinforcement learning on recordings, with other libraries."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "offline_rl.py"


@pytest.mark.long
@pytest.mark.filterwarnings("default")  # d3rlpy imports gym, which warns
def test_the_critic_of_an_offline_method_sees_falls_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(
        "d3rlpy",
        reason="d3rlpy is not installed; it wants gymnasium 1.0.0: pip install 'udacity-gym[d3rlpy]' in an "
        "environment of its own",
    )
    arguments = ["--output", str(tmp_path / "drive"), "--seconds", "90", "--steps", "150"]
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), *arguments])
    runpy.run_path(str(EXAMPLE), run_name="__main__")  # ends by asserting that falls are worth less
    assert "end off the road" in capsys.readouterr().out
