"""Variants of DAgger: who drove, what was labelled, and the thresholds that were learnt."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

import udacity_gym  # noqa: F401  (registers the environment)
from algorithms import (
    DART,
    BehavioralCloning,
    DAgger,
    EnsembleDAgger,
    HGDAgger,
    NetworkPolicy,
    Policy,
    SafeDAgger,
    ThriftyDAgger,
    load_policy,
)
from algorithms.base import Action, Floats
from algorithms.dagger import variants
from algorithms.dagger.calibration import Limit, conformal_threshold
from algorithms.dagger.gates import CREDIT, RESERVE, SafetyGate, ThriftyGate
from algorithms.dagger.heads import Head
from algorithms.dagger.replay import Replay, replay
from algorithms.dagger.rounds import collect_round, count_labelled
from algorithms.policies.ensemble import Ensemble, doubt_of
from algorithms.policies.networks import make_network
from algorithms.policies.preprocessing import Preprocessing
from algorithms.training.data import Frames
from udacity_gym.driving import Decision, EnsembleGate, Gate, HumanGate, Moment
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.experts import Corrections, Human, PurePursuit, Reading, ScriptedHuman
from udacity_gym.recording import open_recording

SMALL: dict[str, Any] = {
    "rounds": 2,
    "frames": 90,
    "epochs": 1,
    "steps_per_epoch": 3,
    "batch_size": 16,
    "threads": 1,
    "side_cameras": 0.0,
    "start": {"s": "random", "offset": (-2.0, 2.0), "heading_error": (-0.2, 0.2), "speed": 8.0},
    "progress": False,
}


@pytest.fixture(scope="module")
def env() -> Any:
    env = gymnasium.make("UdacitySim-v0")
    yield env
    env.close()


@pytest.fixture(scope="module")
def demonstrations(env: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations")
    DAgger(env=env, expert=PurePursuit(), folder=folder, **{**SMALL, "rounds": 1}).learn()
    return folder / "rounds" / "round_000"


def extras(folder: Path, round: int = 1) -> list[dict[str, Any]]:
    recording = open_recording(folder / "rounds" / f"round_{round:03d}")
    return [frame.extra for frame in recording.frames()]


def moment(policy: float, expert: float | None, doubt: float | None = None) -> Moment:
    answer = None if expert is None else np.array([expert, 0.5], np.float32)
    features = np.zeros(3, np.float32)
    return Moment(None, {}, np.array([policy, 0.5], np.float32), doubt, features, lambda: answer)


def test_only_what_the_human_drove_is_learnt_and_doubt_at_take_overs_gives_the_threshold(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    human = ScriptedHuman(PurePursuit(), cte=0.6, reaction_time=0.0, recovered_cte=0.4)
    options = {**SMALL, "rounds": 3, "members": 2}
    learner = HGDAgger(demonstrations, env=env, expert=human, folder=tmp_path, **options)
    policy = learner.learn()
    assert isinstance(policy, Ensemble)
    doubts: list[float] = []
    labels = from_the_start = 0
    for number in (1, 2):
        driver = ""
        for extra in extras(tmp_path, number):
            driver = "" if extra["time"] == 0.0 else driver
            assert ("expert_action" in extra) == (extra["driver"] == "human") == extra["intervention"]
            labels += "expert_action" in extra
            from_the_start += extra["driver"] == "human" and extra["time"] == 0.0
            takes_over = extra["driver"] == "human" and driver == "policy"
            doubts += [extra["doubt"]] if takes_over else []
            driver = extra["driver"]
    assert 0 < labels < 180
    assert learner.round_log[-1].train_frames == 90 + labels
    assert len(doubts) == sum(round.takeovers for round in learner.round_log) >= 2
    assert from_the_start  # which is no take-over
    last = doubts[int(0.75 * len(doubts)) :]
    assert learner.doubt_threshold() == pytest.approx(np.mean(last))
    assert learner.round_log[2].about["doubt_threshold"] == learner.doubt_threshold()
    assert learner.round_log[0].about["doubt_threshold"] is None


def test_the_doubt_threshold_is_there_without_a_folder_too(env: Any, demonstrations: Path) -> None:
    human = ScriptedHuman(PurePursuit(), cte=0.6, reaction_time=0.2, recovered_cte=0.4)
    learner = HGDAgger(demonstrations, env=env, expert=human, **{**SMALL, "members": 2})
    assert learner.doubt_threshold() is None
    learner.learn()
    threshold = learner.doubt_threshold()
    assert threshold is not None
    assert threshold > 0


def test_an_expert_that_never_hands_back_is_no_human(env: Any, demonstrations: Path) -> None:
    options = {**SMALL, "frames": 10, "members": 1}
    with pytest.raises(OptionError, match=r"Corrections\(Human"):
        HGDAgger(demonstrations, env=env, expert=Human(Resting()), **options)
    with pytest.warns(UserWarning, match="plain cloning"):
        HGDAgger(demonstrations, env=env, expert=PurePursuit(), **options).learn()


class Resting:
    """A device with nobody at it."""

    def read(self, time: float) -> Reading:
        return Reading(time)


@pytest.mark.parametrize(("limit", "driver"), [(0.0, "expert"), (10.0, "policy")])
def test_an_ensemble_drives_where_it_agrees_with_the_expert_and_itself(
    env: Any, demonstrations: Path, tmp_path: Path, limit: float, driver: str
) -> None:
    options = {**SMALL, "members": 2, "discrepancy": limit, "doubt": limit}
    EnsembleDAgger(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **options).learn()
    rows = extras(tmp_path)
    assert {extra["driver"] for extra in rows} == {driver}
    assert all("expert_action" in extra and extra["doubt"] > 0 for extra in rows)
    assert {extra["intervention"] for extra in rows} == {driver == "expert"}


def test_either_threshold_of_the_ensemble_calls_the_expert() -> None:
    gate = EnsembleGate(discrepancy=0.04, doubt=0.1)
    decisions = [gate.decide(moment(0.0, apart, doubt)) for apart, doubt in ((0.1, 0), (0.3, 0), (0.1, 0.2))]
    assert [decision.driver for decision in decisions] == ["policy", "expert", "expert"]


def test_a_policy_that_only_steers_is_not_judged_by_the_throttle(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    options = {**SMALL, "members": 2, "discrepancy": 0.01, "doubt": 10.0}
    EnsembleDAgger(
        demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, throttle="speed_control", **options
    ).learn()
    rows = extras(tmp_path)
    apart = np.square([np.subtract(extra["policy_action"], extra["expert_action"]) for extra in rows])
    assert [extra["driver"] == "expert" for extra in rows] == (apart[:, 0] > 0.01).tolist()
    assert ((apart.sum(axis=1) > 0.01) & (apart[:, 0] <= 0.01)).any()


def test_a_head_is_told_only_what_the_policy_works() -> None:
    told: list[Action] = []

    def danger(features: Floats, action: Action) -> float:
        told.append(action)
        return 0.0

    at_speed = moment(0.3, 0.0)
    at_speed.actions = ("steering",)
    SafetyGate(danger).decide(at_speed)
    SafetyGate(danger).decide(moment(0.3, 0.0))
    assert [action.tolist() for action in told] == [pytest.approx([0.3]), pytest.approx([0.3, 0.5])]


def test_safe_dagger_takes_steering_alone_for_danger(env: Any, demonstrations: Path) -> None:
    class Recorded(SafeDAgger):
        replays: ClassVar[list[tuple[float, Replay]]] = []

        def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
            gate, about = super().gate(round, policy)
            self.replays.append((about["unsafe"], replay(policy, Frames.of(self._data(0)))))
            return gate, about

    Recorded(demonstrations, env=env, expert=PurePursuit(), **{**SMALL, "frames": 10}).learn()
    ((unsafe, replayed),) = Recorded.replays
    steering = np.square(replayed.actions - replayed.labels)[:, 0]
    assert unsafe == pytest.approx(np.mean(steering > 0.0025))
    assert unsafe < np.mean(replayed.discrepancies > 0.0025)


@pytest.mark.parametrize("network", ["PilotNet", "PilotLSTM"])
def test_a_policy_that_remembers_is_shown_the_past_of_each_frame(network: str, demonstrations: Path) -> None:
    policies = [
        NetworkPolicy(make_network(network, 2, seed, frames=3), Preprocessing(), past_frames=2)
        for seed in (1, 2)
    ]
    frames = Frames.of([open_recording(demonstrations)]).select(np.arange(20, 60))
    each = [one_by_one(policy, frames) for policy in policies]
    alone = replay(policies[0], frames, features=True)
    np.testing.assert_allclose(alone.actions, each[0], atol=1e-5)
    assert alone.features.shape == (40, 64 if network == "PilotLSTM" else 1152)
    together = replay(Ensemble(policies), frames, features=True)
    np.testing.assert_allclose(together.actions, np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(together.doubts, doubt_of(np.stack(each)), atol=1e-5)
    np.testing.assert_array_equal(together.features, alone.features)


def one_by_one(policy: Policy, frames: Frames) -> Floats:
    """Actions of a policy that is shown each row's images, the past ones first, by themselves."""
    actions = []
    for episode, indices in zip(frames.episode.tolist(), frames.past(policy.past_frames), strict=True):
        state = None
        for index in indices.tolist():
            action, state = policy.predict(frames.episodes[episode][index].image(), state)
        actions.append(action)
    return np.array(actions)


def test_a_policy_of_somebody_else_needs_nothing_but_predict(demonstrations: Path) -> None:
    class Brightness:
        def predict(self, observation: Any, state: Any = None) -> tuple[Floats, Any]:
            light = observation.mean((1, 2, 3)) / 255
            return np.stack([light, light], axis=1).astype(np.float32), state

    frames = Frames.of([open_recording(demonstrations)]).select(np.arange(40))
    replayed = replay(Brightness(), frames)  # type: ignore[arg-type]
    expected = [frames.image(row, "center").mean() / 255 for row in range(40)]
    np.testing.assert_allclose(replayed.actions[:, 0], expected, rtol=1e-5)
    assert replayed.features.shape == (40, 0)


def test_safe_dagger_learns_danger_from_a_network_with_a_memory(env: Any, demonstrations: Path) -> None:
    options = {**SMALL, "frames": 10, "network": "PilotLSTM", "past_frames": 2, "inputs": ("speed",)}
    learner = SafeDAgger(demonstrations, env=env, expert=PurePursuit(), **options)
    learner.learn()
    assert learner.round_log[1].frames == 10


def test_safe_dagger_labels_what_its_classifier_calls_unsafe(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    learner = SafeDAgger(
        demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **{**SMALL, "tau": 0.01}
    )
    learner.learn()
    rows = extras(tmp_path)
    for extra in rows:
        unsafe = extra["danger"] >= 0.5
        assert (extra["driver"] == "expert") == unsafe == ("expert_action" in extra) == extra["intervention"]
    assert learner.round_log[1].train_frames == 90 + sum("expert_action" in extra for extra in rows)


def test_a_round_without_labels_leaves_the_last_labelled_one_to_train_on(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    options = {**SMALL, "rounds": 3, "tau": 100.0, "train_on": "last"}
    learner = SafeDAgger(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **options)
    learner.learn()
    assert [round.labels for round in learner.round_log] == [0, 0, 0]  # nothing is that unsafe
    assert [round.train_frames for round in learner.round_log] == [90, 90, 90]


def test_a_head_learns_rare_danger_and_knows_how_rare_it_is() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 6)).astype(np.float32)
    actions = np.zeros((2000, 2), np.float32)
    danger = (features[:, 0] + 0.5 * features[:, 1] > 1.8).astype(np.float32)
    assert 0.02 < danger.mean() < 0.1
    head = Head.fit(features, actions, danger, seed=1)
    fresh = rng.normal(size=(500, 6)).astype(np.float32)
    found = np.array([head(x, actions[0]) for x in fresh])
    truth = fresh[:, 0] + 0.5 * fresh[:, 1] > 1.8
    assert ((found > 0.5) == truth).mean() > 0.95
    assert found.mean() == pytest.approx(truth.mean(), abs=0.04)


def test_the_expert_that_thrifty_dagger_calls_stays_until_it_is_over() -> None:
    risks = iter([0.1, 0.9, 0.6, 0.1, 0.1])
    gate = ThriftyGate(
        lambda features, action: next(risks),
        call_doubt=Limit(np.empty(0), 0.5),
        call_risk=Limit(np.empty(0), 0.8),
        leave_discrepancy=0.04,
        leave_risk=0.5,
        budget=0.5,
    )
    gate.reset(np.random.default_rng(0))
    steps = [(0.1, 0.0), (0.1, 0.0), (0.1, 0.0), (0.5, 0.0), (0.1, 0.0)]  # expert's steering, doubt
    decisions: list[Decision] = [gate.decide(moment(0.0, expert, doubt)) for expert, doubt in steps]
    assert [d.driver for d in decisions] == ["policy", "expert", "expert", "expert", "policy"]
    assert [d.label is not None for d in decisions] == [False, True, True, True, False]
    assert [d.notes["intervention"] for d in decisions] == [False, True, True, True, False]


def test_thrifty_dagger_keeps_its_budget_by_quantiles_of_doubt_and_risk(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    options = {**SMALL, "rounds": 3, "members": 2, "budget": 0.2}
    learner = ThriftyDAgger(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **options)
    learner.learn()
    about = learner.round_log[2].about
    policy = load_policy(tmp_path / "policies" / "round_001")
    before = Frames.of([open_recording(tmp_path / "rounds" / "round_001")], "executed")
    doubts = replay(policy, before.select(variants.sample_rows(before, (0,), driver="policy"))).doubts
    if len(doubts):
        assert np.mean(doubts > about["call_doubt"]) == pytest.approx(0.1, abs=0.05)
    for number in (1, 2):
        round = learner.round_log[number]
        limits, withheld, was = round.about, 0, "policy"
        for extra in extras(tmp_path, number):
            above = extra["doubt"] > limits["call_doubt"] or extra["risk"] > limits["call_risk"]
            assert extra["call_share"] <= 0.1
            withheld += above and extra["driver"] == "policy"
            if was == "policy" and extra["time"] > 0 and extra["driver"] == "expert":
                assert above
                assert extra["call_share"] > 0
            if was == "policy" and extra["time"] > 0 and extra["call_share"] == 0.1:
                assert (extra["driver"] == "expert") == above
            assert ("expert_action" in extra) == (extra["driver"] == "expert") == extra["intervention"]
            was = extra["driver"]
        assert limits["withheld"] == withheld


def test_noise_does_not_call_the_expert_while_nothing_has_fallen(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    options = {**SMALL, "rounds": 2, "members": 2, "budget": 0.02, "frames": 200, "start": {"speed": 5.0}}
    learner = ThriftyDAgger(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **options)
    learner.learn()
    about = learner.round_log[1].about
    assert (about["call_risk"], about["leave_risk"]) == (0.52, 0.505)
    assert learner.round_log[1].expert_frames <= 0.02 * 200 + 2 * (RESERVE + CREDIT)  # of two rollouts


@pytest.mark.parametrize("stays", [6, 4000])
@pytest.mark.parametrize("budget", [0.02, 0.1, 0.5])
def test_the_budget_of_thrifty_dagger_is_spread_over_the_round(budget: float, stays: int) -> None:
    """Where every state is worse than all before, the expert drives its share of each part of the round."""
    scores, streak = np.random.default_rng(0).random(200), 0
    gate = ThriftyGate(lambda *_: 2.0, Limit(scores), Limit(scores), 0.01, 3.0, budget)
    gate.reset(np.random.default_rng(0))
    drivers = []
    for _ in range(4000):
        decision = gate.decide(moment(0.0, 0.0 if streak == stays else 0.5, 0.0))
        streak = streak + 1 if decision.driver == "expert" else 0
        drivers.append(decision.driver)
    by_expert = np.array(drivers) == "expert"
    driven = np.concatenate([[0], np.cumsum(by_expert)])
    for steps in (60, 67, 100, 1000, 4000):  # in any so many steps
        assert (driven[steps:] - driven[:-steps]).max() <= budget * steps + RESERVE + CREDIT + 1e-9
    np.testing.assert_allclose(by_expert.reshape(4, -1).mean(axis=1), budget, atol=0.06)


def test_the_worst_states_call_while_the_budget_is_short() -> None:
    """States like those before: the share that calls is met, and after the expert has driven, limits rise."""
    rng = np.random.default_rng(0)
    nobody = Limit(np.empty(0), np.inf)
    gate = ThriftyGate(lambda *_: rng.random(), nobody, Limit(rng.random(2000)), 9.0, 1.0, 0.1)
    gate.reset(rng)
    decisions = [gate.decide(moment(0.0, 0.1, 0.0)) for _ in range(4000)]
    calls = [d.notes["risk"] for d in decisions if d.driver == "expert"]
    shares = np.array([d.notes["call_share"] for d in decisions])
    assert len(calls) / 4000 == pytest.approx(0.05, abs=0.015)
    assert shares.max() == 0.05 > shares.min()
    for decision in decisions:
        limit = gate.call_risk.at(decision.notes["call_share"])
        if decision.driver == "expert":
            assert decision.notes["risk"] > limit >= gate.call_risk.at(0.05)


def test_nobody_is_called_for_a_share_of_nothing() -> None:
    assert Limit(np.arange(10.0)).at(0.0) == np.inf
    assert Limit(np.arange(10.0), 20.0).at(0.5) == 20.0
    assert Limit(np.empty(0), 0.5).at(-1.0) == np.inf
    assert Limit(np.arange(99.0)).at(0.1) == conformal_threshold(np.arange(99.0), 0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_conformal_threshold_is_exceeded_by_no_more_than_its_share(
    scores: list[float], share: float
) -> None:
    array = np.array(scores)
    threshold = conformal_threshold(array, share)
    assert threshold in array
    assert np.mean(array > threshold) <= share + 1e-9
    if len(scores) >= 1 / share - 1:  # the promise for a new score, whose rank among all is uniform
        assert 1 - np.sum(array <= threshold) / (len(scores) + 1) <= share + 1e-9


def test_thresholds_of_the_ensemble_are_those_of_rows_that_it_was_not_trained_on(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    options = {**SMALL, "members": 2, "call_share": 0.3, "held_out": 0.2}
    learner = EnsembleDAgger(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **options)
    learner.learn()
    recording = open_recording(demonstrations)
    frames = Frames.of([recording])
    trained, held_out = frames.split(0.2, 0.5)
    assert learner.round_log[0].train_frames == len(trained)
    about = learner.round_log[1].about
    usual = replay(load_policy(tmp_path / "policies" / "round_000"), held_out)
    for name, scores in (("doubt", usual.doubts), ("discrepancy", usual.discrepancies)):
        assert 0.0 < np.mean(scores > about[name]) <= 0.3
    assert learner.round_log[1].expert_frames > 0


def test_an_ensemble_without_demonstrations_needs_thresholds(env: Any, demonstrations: Path) -> None:
    quick: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "threads": 1, "progress": False}
    clones = [BehavioralCloning(demonstrations, **quick, seed=seed).learn() for seed in (0, 1)]
    given: dict[str, Any] = {"env": env, "expert": PurePursuit(), "initial": Ensemble(clones), **SMALL}
    given["members"] = 2
    with pytest.raises(OptionError, match=r"give recordings beside the initial policy, or discrepancy="):
        EnsembleDAgger(**given)
    EnsembleDAgger(**given, discrepancy=0.1, doubt=0.1)


@pytest.mark.long
def test_thrifty_dagger_looks_at_no_more_rows_as_rounds_go_by(
    env: Any, demonstrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, rows = Head.fit, []

    def counting(features: Floats, *rest: Any, **options: Any) -> Head:
        rows.append(len(features))
        return fit(features, *rest, **options)

    monkeypatch.setattr(Head, "fit", counting)
    monkeypatch.setattr(variants, "MAX_ROWS", 50)
    options = {**SMALL, "rounds": 3, "frames": 60, "members": 2}
    ThriftyDAgger(demonstrations, env=env, expert=PurePursuit(), **options).learn()
    assert rows == [50, 50]


def test_dart_disturbs_the_expert_as_much_as_the_policy_errs(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    options = {**SMALL, "frames": 300}
    learner = DART(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **options)
    learner.learn()
    rows = extras(tmp_path)
    assert {extra["driver"] for extra in rows} == {"expert"}
    policy = load_policy(tmp_path / "policies" / "round_000")
    replayed = replay(policy, Frames.of([open_recording(demonstrations)]))
    covariance = np.asarray(learner.round_log[1].about["covariance"])
    errors = replayed.actions - replayed.labels
    np.testing.assert_allclose(covariance, errors.T @ errors / len(errors), rtol=1e-4)
    noise = [extra["action"][0] - extra["expert_action"][0] for extra in rows]
    assert np.std(noise) == pytest.approx(math.sqrt(covariance[0, 0]), rel=0.2)


@pytest.mark.long
def test_a_variant_that_is_interrupted_comes_to_the_same(
    env: Any, demonstrations: Path, tmp_path: Path
) -> None:
    class InterruptionError(Exception):
        pass

    def stop(round: Any) -> None:
        if round.round == 1:
            raise InterruptionError

    options = {**SMALL, "rounds": 3, "frames": 45, "members": 2}

    def learner(folder: str) -> Any:
        expert = ScriptedHuman(PurePursuit(), cte=0.5)
        return HGDAgger(demonstrations, env=env, expert=expert, folder=tmp_path / folder, **options)

    whole = learner("whole")
    whole.learn()
    torn = learner("torn")
    with pytest.raises(InterruptionError):
        torn.learn(stop)
    again = learner("torn")
    again.learn()
    assert again.round_log[1:] == whole.round_log[1:]
    frames = [
        folder / "rounds" / "round_002" / "frames.jsonl" for folder in (tmp_path / "whole", tmp_path / "torn")
    ]
    assert frames[0].read_bytes() == frames[1].read_bytes()


def test_who_drives_is_not_learnt_again_for_a_round_that_is_whole(
    env: Any, demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learner() -> SafeDAgger:
        return SafeDAgger(demonstrations, env=env, expert=PurePursuit(), folder=tmp_path, **SMALL)

    whole = learner()
    whole.learn()
    round_log = json.loads((tmp_path / "rounds.json").read_text())
    (tmp_path / "rounds.json").write_text(json.dumps(round_log[:1]))  # killed in the training of round 1
    monkeypatch.setattr(SafeDAgger, "gate", None)
    again = learner()
    again.learn()
    assert again.round_log == whole.round_log


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_ensemble_acts_by_the_mean_of_its_members_and_survives_its_checkpoint(
    demonstrations: Path, tmp_path: Path
) -> None:
    options = {"epochs": 1, "validation": 0.0, "progress": False, "threads": 1, "side_cameras": 0.0}
    members = [BehavioralCloning(demonstrations, seed=seed, **options).learn() for seed in (1, 2)]
    ensemble = Ensemble(members)
    images = np.stack([frame.image() for frame in list(open_recording(demonstrations).frames())[:3]])
    every, _ = ensemble.predict_all(images)
    assert every.shape == (2, 3, 2)
    np.testing.assert_allclose(ensemble.predict(images)[0], every.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(doubt_of(every), np.linalg.norm(every.var(axis=0), axis=-1), rtol=1e-5)
    assert doubt_of(np.stack([every[0], every[0]])).max() == 0.0
    Ensemble(members[::-1]).save(tmp_path / "policy")
    (tmp_path / "policy" / ".member-0.part").mkdir()  # of a save that was interrupted
    ensemble.save(tmp_path / "policy")
    assert len(list((tmp_path / "policy").iterdir())) == 3
    again = load_policy(tmp_path / "policy")
    np.testing.assert_array_equal(again.predict(images[0])[0], ensemble.predict(images[0])[0])
    again.save(tmp_path / "again")
    assert _files(tmp_path / "again") == _files(tmp_path / "policy")
    damaged = next((tmp_path / "again").glob("member-1-*/policy.json"))
    damaged.write_text("")
    again.save(tmp_path / "again")
    assert _files(tmp_path / "again") == _files(tmp_path / "policy")
    next((tmp_path / "policy").glob("member-1-*/policy.safetensors")).unlink()
    with pytest.raises(CheckpointError, match="incomplete"):
        load_policy(tmp_path / "policy")
    for name in ("", "..", "member-0/../member-0"):  # not itself, for ever
        description = json.loads((tmp_path / "policy" / "policy.json").read_text())
        (tmp_path / "policy" / "policy.json").write_text(json.dumps({**description, "members": [name]}))
        with pytest.raises(CheckpointError, match="no folder of a member"):
            load_policy(tmp_path / "policy")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("Dear mother")
    with pytest.raises(CheckpointError, match="something else"):
        ensemble.save(tmp_path / "letters")
    with pytest.raises(OptionError, match="members"):
        Ensemble([])


def test_a_human_can_not_demonstrate_so_demonstrations_are_asked_for(env: Any) -> None:
    human = ScriptedHuman(PurePursuit())
    with pytest.raises(OptionError, match="HGDAgger needs recordings or an initial policy"):
        HGDAgger(env=env, expert=human, **SMALL)


@pytest.mark.parametrize("learner", [EnsembleDAgger, ThriftyDAgger])
def test_one_network_alone_has_no_doubt_to_go_by(env: Any, learner: Any) -> None:
    with pytest.raises(OptionError, match="members=1 must be a whole number of at least 2"):
        learner(env=env, expert=PurePursuit(), members=1)


def test_a_policy_that_nobody_corrects_stays_as_it_is(env: Any, demonstrations: Path, tmp_path: Path) -> None:
    clones = [
        BehavioralCloning(demonstrations, seed=seed, epochs=1, steps_per_epoch=3, threads=1, progress=False)
        for seed in (1, 2)
    ]
    initial = Ensemble([clone.learn() for clone in clones])
    content = ScriptedHuman(PurePursuit(), cte=100.0, heading_error=3.0)
    options = {**SMALL, "members": 2, "frames": 20}
    learner = HGDAgger(env=env, expert=content, initial=initial, folder=tmp_path, **options)
    policy = learner.learn()
    assert isinstance(policy, Ensemble)
    assert [(round.frames, round.train_frames) for round in learner.round_log] == [(0, 0), (20, 0)]
    for before, after in zip(initial.members, policy.members, strict=True):
        images = np.zeros((1, 160, 320, 3), np.uint8)
        np.testing.assert_array_equal(before.act(images), after.act(images))
    with pytest.raises(OptionError, match="SafeDAgger learns from demonstrations"):
        SafeDAgger(env=env, expert=PurePursuit(), initial=initial, **options)


def test_gates_say_who_asked_for_nothing() -> None:
    asked: list[int] = []

    def expert() -> NDArray[np.float32]:
        asked.append(1)
        return np.zeros(2, np.float32)

    info: Mapping[str, Any] = {}
    quiet = Moment(None, info, np.zeros(2, np.float32), None, None, expert)
    assert not asked
    quiet.ask()
    quiet.expect()
    assert asked == [1]


class Tapping:
    """A human who steers with short taps, for a while, and then lets go."""

    def read(self, observation: Any, info: Mapping[str, Any]) -> Reading:
        step = round(15 * float(info["time"]))
        touches = 10 <= step < 30 and step % 4 == 0
        return Reading(float(info["time"]), -0.1 if touches else 0.0, 0.3, active=touches)


def test_learners_train_on_what_the_human_meant_and_not_on_the_idle_second_before_handing_back(
    env: Any, tmp_path: Path
) -> None:
    summary = collect_round(
        env, Straight(), Corrections(Tapping()), HumanGate(), tmp_path / "round", frames=60, rollouts=1
    )
    recording = open_recording(tmp_path / "round")
    assert sum(episode.labels for episode in summary.episodes) == count_labelled(recording) == 17
    assert len(Frames.of([recording])) == 17, "from the first tap, at step 12, to the last one, at step 28"


class Straight:
    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        return np.array([0.0, 0.3], np.float32), state
