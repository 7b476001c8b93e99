"""The experiment of cloning, then PPO: which policy it keeps, and a run of some seconds.

`test_examples.py` runs `bc_to_ppo.py`, in which the policy becomes faster than its expert.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bc_to_rl as proof
import numpy as np
import pytest


def test_the_fastest_policy_that_stays_between_the_lines_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    drives = {  # m/s, interventions, times over the line, by steps of PPO; 0 is the clone
        0: (7.0, 0, 0),
        100: (6.0, 0, 0),
        200: (9.0, 0, 0),
        300: (12.0, 0, 1),
        400: (13.0, 1, 0),
        450: (8.0, 0, 0),
    }

    resets: list[bool] = []

    class Model:
        num_timesteps = 0

        def learn(self, steps: int, callback: object, reset_num_timesteps: bool) -> None:
            self.num_timesteps += steps
            resets.append(reset_num_timesteps)

    def judge(policy: int, laps: int, seconds: float | None) -> Any:
        speed, interventions, departures = drives[policy]
        return SimpleNamespace(mean_speed=speed, interventions=interventions, edge_departures=departures)

    monkeypatch.setattr(proof, "start_from", lambda *_, **__: Model())
    monkeypatch.setattr(proof, "policy_of", lambda model, _: model.num_timesteps)
    monkeypatch.setattr(proof, "judge", judge)
    lines: list[str] = []
    clone: Any = 0
    kept: Any = proof.improve(clone, 0, proof.Args(steps=450, every=100), lines.append)
    assert kept == 200
    assert resets == [True, False, False, False, False]
    assert len(lines) == 5
    drives[200] = (7.0, 0, 0)
    drives[450] = (6.0, 0, 0)
    assert proof.improve(clone, 0, proof.Args(steps=450, every=100), lines.append) is clone


def test_results_of_a_seed_are_kept_and_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"interventions": 0, "edge_departures": 1, "mean_abs_cte": 0.25, "max_abs_cte": 1.5}
    drive: Any = SimpleNamespace(lap_times=(12.0, 10.0), **figures)
    monkeypatch.setattr(proof, "prove", lambda *_: {"expert": drive, "clone": drive})
    drivers = proof.work(tmp_path, proof.Args(), 0)
    monkeypatch.setattr(proof, "prove", None)
    assert proof.work(tmp_path, proof.Args(), 0) == drivers
    assert proof.table([drivers, drivers]).splitlines()[2:] == [
        f"| {name} | 10.0 [10.0, 10.0] | 0 | 2 | 0.25 [0.25, 0.25] | 1.50 [1.50, 1.50] |"
        for name in ("expert", "clone")
    ]


@pytest.mark.long
def test_a_short_run_drives_all_three_and_ppo_keeps_the_clone_while_only_the_critic_learns() -> None:
    args = proof.Args(epochs=1, steps=1024, every=1024, critic_steps=1024, laps=1, seconds=3.0)
    expert, clone, improved = proof.prove(0, args).values()
    assert expert.interventions == expert.edge_departures == 0
    assert expert.mean_speed > 1.0
    np.testing.assert_array_equal(improved.trajectory.steering, clone.trajectory.steering)
