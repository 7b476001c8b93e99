"""Benchmarks write only to the folder that they are given, and documented commands run."""

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


def commands() -> list[str]:
    """All commands in the documentation, the benchmarks and the model cards, on one line each."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "udacity_gym").rglob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in (*pages, *SCRIPTS)]
    return sorted(
        {line for text in texts for line in re.findall(r"python (benchmarks/\w+\.py[^`\n]*)", text)}
    )


@pytest.mark.parametrize("command", commands())
def test_documented_commands_name_an_output_folder_where_one_is_needed(command: str) -> None:
    script, *_ = command.split()
    assert (ROOT / script).is_file()
    if Path(script).stem in WITH_OUTPUT:
        assert "--output " in command


def test_no_benchmark_has_an_output_folder_of_its_own() -> None:
    assert len(WITH_OUTPUT) >= 9
    defaults = [script.name for script in SCRIPTS if re.search('"--output".*default=', script.read_text())]
    assert defaults == []
