"""The proof on real images, in small."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real_images as proof

from algorithms.training.config import TrainingConfig
from tests.pages import ROOT

SCRIPT = ROOT / "benchmarks" / "real_images.py"


def test_the_recipe_corrects_side_cameras_by_a_constant_and_mirrors_about_the_middle() -> None:
    geometry = proof.constant_correction(0.2)
    distance = TrainingConfig().recovery_distance
    assert geometry.camera_steering("left", distance) == pytest.approx(0.2)
    assert geometry.camera_steering("right", distance) == pytest.approx(-0.2)
    zero, mirrored = np.zeros(1), np.ones(1, np.bool_)
    mirror = geometry.viewpoint(zero, zero, zero, mirrored)[0]
    assert mirror @ [0.0, 30.0, 1.0] == pytest.approx([319.0, 30.0, 1.0])


def test_nothing_near_the_rows_that_judge_is_trained_on(lake_recording: Path) -> None:
    rows = proof.Rows.of(lake_recording)
    assert len(rows.test) == 400
    assert rows.test.time[0] - rows.train.time[-1] >= 2.0 - 1e-6
    assert rows.judge(rows.test.steering)["by_row"]["mae"] == 0.0
    assert rows.judge(0 * rows.test.steering)["by_row"]["correlation"] == 0.0


def test_the_tables_have_every_way_of_steering_once() -> None:
    errors = {"mae": 0.1, "rmse": 0.2, "correlation": 0.5}
    judged = {"recording": "lake", "by_row": errors, "smoothed": errors}
    drive = {"autonomy": 0.5, "interventions": 3, "mean_abs_cte": 0.4, "reference_departures": 9}
    found: list[dict[str, Any]] = [
        {**judged, "name": name, "seed": seed, "drive": {**drive, "interventions": 3 + seed}}
        for name in ("ours", "recipe")
        for seed in (0, 1)
    ]
    found += [{**judged, "name": name, "seed": 0} for name in ("mean", "zero")]
    first, second = proof.tables(found).split("\n\n")
    names = ["ours", "published recipe", "mean predictor", "always zero"]
    assert [line.split(" | ")[1] for line in first.splitlines()[2:]] == names
    ours, recipe = second.splitlines()[2:]
    assert ours.endswith("| ours | 50.0 [50.0, 50.0] | 3.5 [0.0, 9.9] | 0.40 [0.40, 0.40] | 9.0 [9.0, 9.0] |")
    assert "published recipe" in recipe


@pytest.mark.long
def test_ours_steers_better_than_the_mean_on_real_images(lake_recording: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(lake_recording), "--quick", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr  # it checks the errors itself
    rows = json.loads((tmp_path / "out" / "real-images.json").read_text())["rows"]
    named = {row["name"]: row for row in rows}
    assert list(named) == ["ours", "recipe", "mean", "zero"]
    assert named["ours"]["by_row"]["rmse"] < named["mean"]["by_row"]["rmse"]
    assert named["ours"]["drive"]["distance"] > 50
    begun_again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert begun_again.returncode == 0
    assert "RMSE 0" not in begun_again.stdout  # nothing was trained again
