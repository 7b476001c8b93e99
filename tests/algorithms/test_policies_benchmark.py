"""The comparison of policies: each run is trained, driven and kept, and an interrupted command continues."""

import json
from pathlib import Path

import policies
import pytest
import torch
from policies import Job
from proofs import go_on_with

from udacity_gym.experts import Noise


def test_differences_are_paired_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds differ much, but the second precision is always 0.1 m worse: the interval has no width."""
    measures = dict.fromkeys(policies.MEASURES, 0.0)
    for seed, cte in enumerate((0.2, 1.0, 3.0)):
        for precision, more in (("float32", 0.0), ("bfloat16", 0.1)):
            path = Job("lake", "PilotNet", precision, seed).path(tmp_path)  # type: ignore[arg-type]
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(measures | {"mean_cte": cte + more}))
    go_on_with(tmp_path, policies.settings_with(epochs=12))
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "done").touch()
    command = ["--output", str(tmp_path), "--tracks", "lake", "--methods", "PilotNet", "--workers", "1"]
    policies.main([*command, "--seeds", "0", "1", "2", "--precision", "float32", "bfloat16"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| lake")]
    column = 2 + list(policies.MEASURES).index("mean_cte")
    assert [row[column + 1] for row in rows[:2]] == ["1.40 [0.00, 4.98]", "1.50 [0.00, 5.08]"]
    assert rows[2][column] == "0.10 [0.10, 0.10]"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STEPS", 2),
        ("LONG", 1),
        ("SPEED", {"lake": 5.0, "jungle": 9.0}),
        ("NOISE", Noise.of(0.2)),
        ("METHODS", {"PilotNet": {"loss": "mse"}}),
        ("find_device", lambda: torch.device("cuda")),
    ],
)
def test_results_are_not_mixed_with_those_of_other_settings(
    name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on_with(tmp_path, policies.settings_with(epochs=12))
    monkeypatch.setattr(policies, name, value)
    with pytest.raises(SystemExit, match="choose another --output"):
        policies.main(["--output", str(tmp_path)])


@pytest.mark.long
def test_a_run_is_kept_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "STEPS", 2)
    command = ["--output", str(tmp_path), "--tracks", "lake", "--methods", "PilotNet, gmm", "--epochs", "1"]
    command += ["--precision", "float32", "--workers", "1", "--seeds"]
    policies.main([*command, "0"])
    results = policies.load(tmp_path, Job("lake", "PilotNet, gmm", "float32", 0))
    assert 0.0 <= results["autonomy"] <= 1.0
    assert results["steering_mae"] > 0
    monkeypatch.setattr(policies, "BehavioralCloning", None)
    policies.main([*command, "0"])
    with pytest.raises(Exception, match="NoneType"):
        policies.main([*command, "1"])  # another seed is another run
    with pytest.raises(SystemExit, match="choose another --output"):
        policies.main([*command, "0", "--epochs", "2"])
