"""The comparison of policies: each run is trained, driven and kept, and an interrupted command goes on."""

from pathlib import Path

import policies
import pytest


@pytest.mark.long
def test_a_run_is_kept_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "STEPS", 2)
    found = policies.run("lake", "PilotNet, gmm", 0, 1, tmp_path)
    assert 0.0 <= found["autonomy"] <= 1.0
    assert found["steering_mae"] > 0
    monkeypatch.setattr(policies, "BehavioralCloning", None)
    assert policies.run("lake", "PilotNet, gmm", 0, 1, tmp_path) == found
    with pytest.raises(TypeError):
        policies.run("lake", "PilotNet, gmm", 1, 1, tmp_path)  # another seed is another run
