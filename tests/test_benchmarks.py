"""Benchmarks write only to the folder that they are given, and documented commands run."""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from proofs import markdown

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


def test_tables_are_in_markdown_and_written_in_one_place() -> None:
    assert markdown(["track", "m"], [["lake", 2.5], ["jungle", ""]]) == (
        "| track | m |\n|---|---|\n| lake | 2.5 |\n| jungle |  |"
    )
    assert markdown(["track", "m"]) == "| track | m |\n|---|---|"
    assert [script.stem for script in SCRIPTS if '" | ".join' in script.read_text()] == []


def test_results_of_executors_are_read_again_and_those_of_older_versions_say_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = importlib.import_module("scale")
    by_executor = {"1 process (this one)": 2.0, "2 processes beside it": 1.0}
    kinds = ("rollouts of a round", "suite", f"suite, {scale.CARS} cars at once", "sweep")
    results: dict[str, Any] = dict.fromkeys(scale.FIGURES, 2)
    results |= {name: dict.fromkeys(kinds, by_executor) for name in ("seconds", "cpu_seconds")}
    results |= {"seconds_with_start": dict.fromkeys(kinds, 1.5), "step_ms": {"1": {"total": 2.0}}}
    results |= {"job_ms": by_executor, "worker_mb": by_executor, "start_seconds": {"processes": 1.0}}
    results["work"] = scale.asdict(scale.Work())
    file = tmp_path / "scale.json"
    monkeypatch.setattr(sys, "argv", ["scale", "--read", str(file)])
    file.write_text(json.dumps(results))
    scale.main()
    assert "10,000 suites of 30 drives" in capsys.readouterr().out
    del results["step_ms"], results["work"]["steps"]
    file.write_text(json.dumps(results))
    with pytest.raises(SystemExit, match=r"lacks step_ms, work\.steps; another version wrote it"):
        scale.main()
