"""The proofs about interactive learners, in small, come out as they should."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT


def run(script: str, output: Path) -> list[dict[str, Any]]:
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--quick", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=output.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (output / "rows.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_dagger_falls_less_than_cloning_with_as_many_labels(tmp_path: Path) -> None:
    rows = run("dagger.py", tmp_path / "figure")
    last = {row["method"]: row for row in rows if row["round"] == max(r["round"] for r in rows)}
    assert last["cloning"]["labels"] == last["DAgger, I(i=1)"]["labels"]
    late = {m: sum(r["falls_per_lap"] for r in rows if r["method"] == m and r["round"] > 4) for m in last}
    assert late["DAgger, I(i=1)"] <= 8.0, "of two seeds, two rounds each"
    assert late["DAgger, I(i=1)"] < 0.5 * late["cloning"]
    assert (tmp_path / "figure" / "falls.png").stat().st_size > 10_000


@pytest.mark.long
def test_corrections_of_a_human_teach_more_than_as_many_labels_of_the_policys_way(
    tmp_path: Path,
) -> None:
    rows = run("human_gated.py", tmp_path / "gated")
    gated = [row for row in rows if row["method"] == "HG-DAgger"]
    assert 0 == gated[0]["labels"] < gated[-1]["labels"]
    assert gated[-1]["falls_per_lap"] < 0.5 * gated[0]["falls_per_lap"]
    plain = [row for row in rows if row["method"] == "DAgger" and row["labels"] <= gated[-1]["labels"]]
    assert gated[-1]["falls_per_lap"] < plain[-1]["falls_per_lap"]
