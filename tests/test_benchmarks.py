"""Benchmarks write only where they were told."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT

SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
WITH_OUTPUT = [script.stem for script in SCRIPTS if "add_output_option(parser)" in script.read_text()]


@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_a_benchmark_without_an_output_folder_asks_for_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "--output" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_benchmark_has_an_output_folder_of_its_own() -> None:
    assert len(WITH_OUTPUT) >= 9
    defaults = [script.name for script in SCRIPTS if re.search('"--output".*default=', script.read_text())]
    assert defaults == []
