"""A policy that was cloned from a slow expert learns to drive faster: the proof, shorter.

That it gets faster than its expert takes longer; `benchmarks/bc_to_rl.py` shows it.
"""

import bc_to_rl as proof
import pytest


@pytest.mark.long
def test_ppo_makes_a_cloned_policy_faster_and_keeps_it_between_the_lines() -> None:
    args = proof.Args(epochs=4, steps=8_192, every=4_096, laps=1, seconds=40.0)
    expert, clone, improved = proof.prove(0, args).values()
    for evaluation in (expert, clone, improved):
        assert evaluation.interventions == evaluation.edge_departures == 0
    assert clone.mean_speed < 1.05 * expert.mean_speed
    assert improved.mean_speed > 1.1 * clone.mean_speed
