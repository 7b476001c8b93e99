"""The proof that a lower loss need not drive better, in small."""

from pathlib import Path

import loss_versus_driving as proof
import pytest


def checkpoint(training: str, mse: float, autonomy: float) -> object:
    return proof.Checkpoint(
        training=training,
        setting="augmented",
        demonstrations="expert",
        seed=0,
        epoch=1,
        mse=mse,
        mae=mse**0.5,
        autonomy=autonomy,
        interventions_per_km=0.0,
    )


@pytest.mark.parametrize(("sign", "better"), [(-1, 0), (1, 3)])
def test_a_loss_that_orders_checkpoints_as_driving_does_has_the_rank_correlation_one(
    sign: int, better: int, tmp_path: Path
) -> None:
    losses = [0.1, 0.2, 0.3, 0.4]
    found = [checkpoint(str(k), x, 0.5 + sign * x) for k, x in enumerate(losses)]
    findings = proof.findings(found)
    assert findings.mse_correlation.value == pytest.approx(-sign)
    assert findings.mae_correlation.value == pytest.approx(-sign)
    assert findings.least_loss is found[0]
    assert findings.best_driver is found[better]
    assert findings.drive_better == better
    proof.plot(found, findings, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


@pytest.mark.long
def test_the_checkpoint_of_the_least_loss_is_not_the_one_that_drives_best(tmp_path: Path) -> None:
    args = proof.Args(checkpoints=(1, 6), record_seconds=40, drives=1, drive_seconds=20)
    proof.demonstrate(tmp_path, args.record_seconds)
    checkpoints = [
        *proof.judge_training(tmp_path, args, "center camera", "expert", 0),
        *proof.judge_training(tmp_path, args, "three cameras", "perturbed", 0),
    ]
    findings = proof.findings(checkpoints)
    # What an expert sees on its line is learnt best from its line, and teaches nothing of coming back.
    assert findings.least_loss.setting == "center camera"
    assert findings.least_loss.autonomy < 0.5
    assert findings.best_driver.setting == "three cameras"
    assert findings.best_driver.autonomy > 0.8
    assert findings.best_driver.mse > 2 * findings.least_loss.mse
    assert findings.mse_correlation.value < 0.8
