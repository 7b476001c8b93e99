"""Gates between a policy and an expert: who drives, what is labelled, and what a recording keeps of it."""

import numpy as np
import pytest

from udacity_gym.driving import (
    Decision,
    EnsembleGate,
    GatedDriver,
    HumanGate,
    Mixture,
    Moment,
    NoiseGate,
    PolicyAlone,
    drive,
)
from udacity_gym.driving.gates import policy_or_intervention
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit, ScriptedHuman
from udacity_gym.recording import Recorder, open_recording

POLICY_ACTION = np.array([0.1, 0.4], np.float32)
EXPERT_ACTION = np.array([-0.2, 0.5], np.float32)


class Policy:
    """Always does the same."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return POLICY_ACTION, state


class Doubtful(Policy):
    """Doubts more from step to step."""

    def predict_with_doubt(self, observation, state=None, episode_start=None):
        count = 0 if state is None else state + 1
        return POLICY_ACTION, count, count / 10


class Expert:
    """Always does the same, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.resets = []

    def reset(self, env, info, seed=None):
        self.resets.append(seed)

    def __call__(self, observation, info):
        self.asked += 1
        return EXPERT_ACTION


def driven(gate, policy=None, expert=None, steps=20, *, gate_seed=None, **options):
    """Decisions of a drive."""
    expert = Expert() if expert is None else expert
    driver = GatedDriver(policy or Policy(), expert, gate, seed=gate_seed)
    env = UdacityEnv(cameras=())
    return [step.decision for step in drive(env, driver, **{"steps": steps, "seed": 0, **options})]


def drivers_of(decisions):
    return [decision.driver for decision in decisions]


def test_the_policy_alone_drives_and_nobody_is_asked():
    expert = Expert()
    decisions = driven(PolicyAlone(), expert=expert)
    assert set(drivers_of(decisions)) == {"policy"}
    assert expert.asked == 0
    for decision in decisions:
        assert (decision.label, decision.is_label, decision.doubt, dict(decision.notes)) == (
            None,
            False,
            None,
            {},
        )
        np.testing.assert_array_equal(decision.action, POLICY_ACTION)
        np.testing.assert_array_equal(decision.policy_action, POLICY_ACTION)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_mixture_draws_who_drives_at_every_step_and_labels_all(beta):
    decisions = driven(Mixture(beta), steps=60, driver_seed=3)
    shares = np.mean([driver == "expert" for driver in drivers_of(decisions)])
    assert shares == pytest.approx(beta, abs=0.2 if 0 < beta < 1 else 0.0)
    for decision in decisions:
        np.testing.assert_array_equal(decision.label, EXPERT_ACTION)
        executed = EXPERT_ACTION if decision.driver == "expert" else POLICY_ACTION
        np.testing.assert_array_equal(decision.action, executed)
        np.testing.assert_array_equal(decision.policy_action, POLICY_ACTION)


def test_a_gate_draws_by_the_seed_of_the_driver_or_by_its_own():
    def drawn(**seeds):
        return drivers_of(driven(Mixture(0.5), steps=40, **seeds))

    assert drawn(driver_seed=1) == drawn(driver_seed=1) != drawn(driver_seed=2)
    assert drawn(gate_seed=5, driver_seed=1) == drawn(gate_seed=5, driver_seed=2) != drawn(driver_seed=1)


def test_a_gate_goes_on_drawing_from_episode_to_episode():
    driver = GatedDriver(Policy(), Expert(), Mixture(0.5))
    env = UdacityEnv(cameras=(), max_seconds=1.0)
    steps = drive(env, driver, steps=45, seed=0, driver_seed=1, on_truncation="restart")
    drawn = np.array([step.decision.driver for step in steps]).reshape(3, 15).tolist()
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_the_expert_is_reset_with_the_driver_and_asked_once_a_step_at_most():
    expert = Expert()
    driver = GatedDriver(Policy(), expert, EnsembleGate(0.0, 0.0))
    env = UdacityEnv(cameras=(), max_seconds=1.0)
    list(drive(env, driver, steps=20, driver_seed=9, on_truncation="restart"))
    assert expert.resets == [9, None]
    assert expert.asked == 20


def test_an_ensemble_gate_calls_the_expert_where_the_policy_differs_or_doubts():
    apart = float(np.square(POLICY_ACTION - EXPERT_ACTION).sum())
    differs = driven(EnsembleGate(0.5 * apart, doubt=10.0))
    assert set(drivers_of(differs)) == {"expert"}
    agrees = driven(EnsembleGate(2.0 * apart, doubt=10.0))
    assert set(drivers_of(agrees)) == {"policy"}
    doubts = driven(EnsembleGate(2.0 * apart, doubt=0.55), policy=Doubtful(), steps=10)
    assert drivers_of(doubts) == ["policy"] * 6 + ["expert"] * 4
    assert [decision.doubt for decision in doubts] == pytest.approx(np.arange(10) / 10)
    assert [decision.notes["intervention"] for decision in doubts] == [False] * 6 + [True] * 4
    assert all(decision.is_label for decision in [*differs, *agrees, *doubts])


def test_a_policy_that_only_steers_is_compared_by_its_steering():
    class Steers(Policy):
        actions = ("steering",)

        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return EXPERT_ACTION[:1], state

    assert set(drivers_of(driven(EnsembleGate(1e-6, 1.0), policy=Steers()))) == {"policy"}


def test_a_human_gate_labels_what_the_human_drives():
    human = ScriptedHuman(PurePursuit(), cte=0.3, recovered_cte=0.25, reaction_time=0.0, calm=0.2, seed=1)
    decisions = driven(HumanGate(), expert=human, steps=150, start={"s": 100.0, "speed": 8.0})
    assert set(drivers_of(decisions)) == {"policy", "human"}
    for decision in decisions:
        drives = decision.driver == "human"
        assert decision.is_label == drives == decision.notes["intervention"]
        assert (decision.label is not None) == drives
        np.testing.assert_array_equal(decision.action, decision.label if drives else POLICY_ACTION)


def test_a_noise_gate_disturbs_the_expert_and_labels_what_it_meant():
    noise = Noise.of(0.2, 0.1, correlation=0.3)
    decisions = driven(NoiseGate(noise), steps=60, gate_seed=2)
    assert set(drivers_of(decisions)) == {"expert"}
    actions = np.array([decision.action for decision in decisions])
    np.testing.assert_array_equal([decision.label for decision in decisions], [EXPERT_ACTION] * 60)
    assert (actions - EXPERT_ACTION).std(axis=0) == pytest.approx([0.2, 0.1], rel=0.6)
    again = driven(NoiseGate(noise), steps=60, gate_seed=2)
    np.testing.assert_array_equal(actions, [decision.action for decision in again])


def test_the_answer_of_an_expert_is_clipped_to_what_the_car_can_do():
    for decision in driven(Mixture(1.0), expert=lambda observation, info: (-3.0, 2.0), steps=3):
        np.testing.assert_array_equal(decision.label, [-1.0, 1.0])


def test_an_expert_drives_without_any_policy():
    driver = GatedDriver(None, PurePursuit(), Mixture(1.0))
    steps = list(drive(UdacityEnv(cameras=()), driver, steps=20, seed=0))
    alone = list(drive(UdacityEnv(cameras=()), PurePursuit(), steps=20, seed=0))
    for step, other in zip(steps, alone, strict=True):
        assert step.decision.policy_action is None
        np.testing.assert_array_equal(step.decision.action, other.decision.action)


class LooksAtFeatures:
    """Lets the policy drive, and keeps the features."""

    wants_features = True

    def __init__(self):
        self.features = []

    def reset(self, rng):
        pass

    def decide(self, moment):
        self.features.append(moment.features)
        return policy_or_intervention(moment, False, None, danger=float(moment.features[0]))


def test_a_gate_that_wants_features_is_given_them_after_the_policy_was_asked():
    class Looks(Policy):
        looked = 0

        def predict(self, observation, state=None, **_):
            self.looked += 1
            return POLICY_ACTION, state

    policy, gate = Looks(), LooksAtFeatures()
    driver = GatedDriver(policy, None, gate, features=lambda: np.array([policy.looked], np.float32))
    steps = list(drive(UdacityEnv(cameras=()), driver, steps=3))
    assert [float(features[0]) for features in gate.features] == [1.0, 2.0, 3.0]
    assert [step.decision.notes["danger"] for step in steps] == [1.0, 2.0, 3.0]
    with pytest.raises(OptionError, match=r"LooksAtFeatures looks at features of the policy: give features="):
        GatedDriver(policy, None, gate)


def test_the_policy_of_a_gated_driver_may_pause_the_simulation():
    class Waits:
        """Pauses the simulation at every other step."""

        def reset(self, env, info, seed=None):
            self.number = -1

        def decide(self, observation, info):
            self.number += 1
            return None if self.number % 2 else Decision(POLICY_ACTION, "policy")

    driver = GatedDriver(Waits(), Expert(), Mixture(0.0))
    steps = list(drive(UdacityEnv(cameras=()), driver, steps=4))
    assert [step.is_held for step in steps] == [False, True] * 3 + [False]


def test_who_must_answer_and_has_no_answer_is_named():
    for gate in (Mixture(0.5), EnsembleGate(1.0, 1.0), NoiseGate(Noise.of(0.1))):
        for expert in (lambda *_: None, None):
            driver = GatedDriver(Policy(), expert, gate)
            with pytest.raises(OptionError, match="the expert gave no action: this learner needs one"):
                next(drive(UdacityEnv(cameras=()), driver))
    with pytest.raises(ActionError, match="the expert must give two finite numbers"):
        driven(Mixture(1.0), expert=lambda *_: [0.0])
    moment = Moment(None, {}, POLICY_ACTION, None, None, lambda: None)
    with pytest.raises(OptionError, match="an intervention needs the action to execute"):
        policy_or_intervention(moment, True, None)


def test_a_recording_keeps_who_drove_the_label_the_doubt_and_the_notes(tmp_path):
    gate = EnsembleGate(discrepancy=10.0, doubt=0.25)
    driver = GatedDriver(Doubtful(), NoisyExpert(Expert(), Noise.of(0.0)), gate)
    env = UdacityEnv(image_size=(32, 64))
    with Recorder(tmp_path / "gated") as recorder:
        for step in drive(env, driver, steps=5, seed=4):
            recorder.add(step)
    (episode,) = open_recording(tmp_path / "gated", strict=True).episodes
    extras = episode.extras()
    assert [extra["driver"] for extra in extras] == ["policy"] * 3 + ["expert"] * 2
    assert [extra["intervention"] for extra in extras] == [False] * 3 + [True] * 2
    assert [extra["doubt"] for extra in extras] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose([extra["policy_action"] for extra in extras], [POLICY_ACTION] * 5)
    np.testing.assert_allclose([extra["expert_action"] for extra in extras], [EXPERT_ACTION] * 5)
    executed = [POLICY_ACTION] * 3 + [EXPERT_ACTION] * 2
    np.testing.assert_allclose([extra["action"] for extra in extras], executed)
    assert {extra["seed"] for extra in extras} == {4}
    with Recorder(tmp_path / "alone") as recorder:
        for step in drive(env, GatedDriver(Policy(), Expert(), PolicyAlone()), steps=2):
            recorder.add(step)
    for extra in open_recording(tmp_path / "alone").episodes[0].extras():
        assert not {"expert_action", "doubt", "intervention"} & extra.keys()
    env.close()
