"""DAgger: its rounds on disk, who drove them, what is learnt from them, and going on after interruptions."""

import gc
import itertools
import json
import math
import shutil
import threading
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from simple_road import write_road_recording

import udacity_gym
from algorithms import (
    DART,
    BehavioralCloning,
    DAgger,
    DAggerConfig,
    EnsembleDAgger,
    HGDAgger,
    NetworkPolicy,
    Policy,
    Preprocessing,
    SafeDAgger,
    ThriftyDAgger,
    TrainingConfig,
    label_round,
    load_policy,
)
from algorithms.base import TrainingError
from algorithms.dagger.round_log import Round
from algorithms.dagger.schedules import Linear
from algorithms.learners import find_learner, make_learner
from algorithms.training.augment import Augmentation
from algorithms.training.data import Frames
from udacity_gym.errors import ActionError, CheckpointError, OptionError
from udacity_gym.experts import NoisyExpert, PolicyExpert, PurePursuit
from udacity_gym.recording import Frame, ImageCache, open_recording
from udacity_gym.wrappers import SpeedControl

SMALL: dict[str, Any] = {
    "rounds": 3,
    "frames": 60,
    "epochs": 1,
    "steps_per_epoch": 3,
    "batch_size": 16,
    "threads": 1,
    "progress": False,
}

QUICK: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 3, "batch_size": 16, "threads": 1, "progress": False}


def make_env() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("UdacitySim-v0")


@pytest.fixture(scope="module")
def env() -> Any:
    env = make_env()
    yield env
    env.close()


@pytest.fixture(scope="module")
def whole(env: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a learner that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("dagger") / "whole"
    DAgger(env=env, expert=PurePursuit(), folder=folder, **SMALL).learn()
    return folder


def weights(policy: Policy) -> list[NDArray[np.float32]]:
    assert isinstance(policy, NetworkPolicy)
    return [value.numpy() for value in policy.network.state_dict().values()]


def assert_same(first: Policy, second: Policy) -> None:
    for a, b in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


def files(folder: Path) -> dict[str, bytes]:
    rounds = folder / "rounds"
    return {str(p.relative_to(rounds)): p.read_bytes() for p in sorted(rounds.rglob("*")) if p.is_file()}


def extras(folder: Path) -> list[tuple[Frame, dict[str, Any]]]:
    return [(frame, frame.extra) for frame in open_recording(folder).frames()]


class InterruptionError(Exception):
    pass


class Tired(PurePursuit):
    """An expert that gives up after so many questions."""

    def __init__(self, questions: float = math.inf) -> None:
        super().__init__()
        self.left = questions

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        self.left -= 1
        if self.left < 0:
            raise InterruptionError
        return super().__call__(observation, info)


def test_each_round_is_a_recording_with_what_was_done_and_what_the_expert_would_have_done(
    env: Any, tmp_path: Path
) -> None:
    learner = DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "run", seed=3, **SMALL)
    learner.learn()
    expert = PurePursuit()
    for number, driver in enumerate(["expert", "policy", "policy"]):
        rows = extras(tmp_path / "run" / "rounds" / f"round_{number:03d}")
        assert len(rows) == 60
        for frame, extra in rows:
            assert extra["driver"] == driver
            executed = extra["expert_action" if driver == "expert" else "policy_action"]
            logged = [frame.steering, frame.throttle - frame.brake]
            np.testing.assert_allclose(logged, executed, atol=1e-6)
            wanted = expert(None, {**extra, "speed": frame.speed, "pose": None})
            np.testing.assert_allclose(extra["expert_action"], wanted, atol=1e-4)
    assert [round.train_frames for round in learner.round_log] == [60, 120, 180]
    assert [round.about["beta"] for round in learner.round_log] == [1.0, 0.0, 0.0]
    assert learner.round_log[0].metres > 20


def test_expert_and_policy_take_turns_step_by_step_as_beta_says(env: Any, tmp_path: Path) -> None:
    options = {**SMALL, "rounds": 2, "frames": 300, "beta": 0.3}
    learner = DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "run", **options)
    learner.learn()
    drivers = [extra["driver"] for _, extra in extras(tmp_path / "run" / "rounds" / "round_001")]
    assert 0.2 < np.mean([driver == "expert" for driver in drivers]) < 0.4
    assert sum(a != b for a, b in itertools.pairwise(drivers)) > 60


@pytest.mark.parametrize("questions", [10, 75, 130])
def test_a_learner_that_is_killed_within_a_round_comes_to_the_same(
    env: Any, whole: Path, tmp_path: Path, questions: int
) -> None:
    with pytest.raises(InterruptionError):
        DAgger(env=env, expert=Tired(questions), folder=tmp_path / "torn", **SMALL).learn()
    again = DAgger(env=env, expert=Tired(), folder=tmp_path / "torn", **SMALL)
    assert_same(again.learn(), load_policy(whole / "policy"))
    assert files(tmp_path / "torn") == files(whole)
    assert_same(load_policy(tmp_path / "torn" / "policy"), load_policy(whole / "policy"))


def test_a_learner_that_is_killed_between_rounds_comes_to_the_same(
    env: Any, whole: Path, tmp_path: Path
) -> None:
    def stop(round: Round) -> None:
        raise InterruptionError

    for number in range(3):
        learner = DAgger(env=env, expert=Tired(), folder=tmp_path / "torn", **SMALL)
        with pytest.raises(InterruptionError):
            learner.learn(stop)
        assert len(learner.round_log) == number + 1
    finished = DAgger(env=env, expert=Tired(0), folder=tmp_path / "torn", **SMALL)
    assert_same(finished.learn(), load_policy(whole / "policy"))


@pytest.mark.long
def test_several_processes_collect_what_one_would(tmp_path: Path) -> None:
    options = {**SMALL, "rounds": 2, "rollouts": 3, "beta": 0.5}
    one = DAgger(env=make_env, expert=PurePursuit(), folder=tmp_path / "one", **options).learn()
    two = DAgger(env=make_env, expert=PurePursuit(), folder=tmp_path / "two", executor=2, **options).learn()
    assert_same(one, two)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_more_rounds_are_added_to_a_finished_learner(env: Any, whole: Path, tmp_path: Path) -> None:
    options = {**SMALL, "rounds": 2}
    DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "more", **options).learn()
    longer = DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "more", **SMALL).learn()
    assert_same(longer, load_policy(whole / "policy"))


def test_the_last_round_alone_is_trained_on_if_wanted(env: Any) -> None:
    learner = DAgger(env=env, expert=PurePursuit(), train_on="last", **SMALL)
    learner.learn()
    assert [round.train_frames for round in learner.round_log] == [60, 60, 60]


def test_images_of_rounds_that_are_over_leave_room_for_the_last(
    env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0
    decode = ImageCache._decode

    def counting(self: ImageCache, *which: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return decode(self, *which)

    monkeypatch.setattr(ImageCache, "_decode", counting)
    options = {**SMALL, "epochs": 3, "steps_per_epoch": None, "memory_budget": 60 * 66 * 200 * 3}
    DAgger(env=env, expert=PurePursuit(), train_on="last", **options).learn()
    assert decoded <= 3 * 60


def test_a_warm_start_goes_on_from_the_weights_of_the_round_before(env: Any, tmp_path: Path) -> None:
    moved = {}
    for warm in (True, False):
        folder = tmp_path / str(warm)
        options = {**SMALL, "warm_start": warm, "learning_rate": 1e-6}
        DAgger(env=env, expert=PurePursuit(), folder=folder, **options).learn()
        first, last = (weights(load_policy(folder / "policies" / f"round_00{i}")) for i in (1, 2))
        moved[warm] = max(float(np.abs(a - b).max()) for a, b in zip(first, last, strict=True))
    assert moved[True] < 1e-3 < moved[False]


def test_recordings_take_the_place_of_the_first_round(env: Any, tmp_path: Path, road_recording: Path) -> None:
    learner = DAgger(road_recording, env=env, expert=PurePursuit(), folder=tmp_path / "run", **SMALL)
    learner.learn()
    assert [round.frames for round in learner.round_log] == [0, 60, 60]
    assert [round.train_frames for round in learner.round_log] == [160, 220, 280]
    assert not (tmp_path / "run" / "rounds" / "round_000").exists()


def test_recordings_are_drawn_by_their_weights_beside_the_rounds(
    env: Any, tmp_path: Path, road_recording: Path
) -> None:
    options = {**SMALL, "rounds": 2}
    given: dict[str, Any] = {"env": env, "expert": PurePursuit(), "folder": tmp_path / "run", **options}
    learner = DAgger(road_recording, weights=[0.25], **given)
    learner.learn()
    frames = learner._frames(1)
    assert frames is not None
    assert frames.weight.tolist() == [0.25] * 160 + [1.0] * 60
    with pytest.raises(CheckpointError, match="with demonstrations="):
        DAgger(road_recording, **given).learn()
    with pytest.raises(OptionError, match="2 weights for 1 recordings"):
        DAgger(road_recording, weights=[1, 2], **given)


def test_a_clone_takes_the_place_of_the_first_round(env: Any, tmp_path: Path, road_recording: Path) -> None:
    clone = BehavioralCloning(road_recording, **QUICK).learn()
    clone.save(tmp_path / "clone" / "policy")  # as in the folder of a training
    options = {**SMALL, "rounds": 2, "learning_rate": 1e-7}

    def learner(recordings: Path | None, initial: Any) -> DAgger:
        folder = tmp_path / ("alone" if recordings is None else "with recordings")
        return DAgger(
            recordings, env=env, expert=PurePursuit(), initial=initial, folder=folder, seed=2, **options
        )

    for recordings, rows in ((None, 60), (road_recording, 160 + 60)):
        went_on = learner(recordings, tmp_path / "clone")
        last = went_on.learn()
        assert [(r.frames, r.train_frames) for r in went_on.round_log] == [(0, 0), (60, rows)]
        assert_same(load_policy(went_on._policy_folder(0)), clone)
        changes = [np.abs(a - b).max() for a, b in zip(weights(last), weights(clone), strict=True)]
        assert 0.0 < max(changes) < 1e-4
    rows_driven = extras(tmp_path / "alone" / "rounds" / "round_001")
    assert {extra["driver"] for _, extra in rows_driven} == {"policy"}
    finished = learner(None, clone)
    assert_same(finished.learn(), load_policy(tmp_path / "alone" / "policy"))
    with pytest.raises(CheckpointError, match="with initial='"):
        learner(None, None).learn()


def test_an_initial_policy_that_does_not_fit_is_refused_at_once(env: Any, road_recording: Path) -> None:
    steering: Any = BehavioralCloning(road_recording, throttle="speed_control", **QUICK).learn()
    given: dict[str, Any] = {"env": env, "expert": PurePursuit(), **SMALL}
    with pytest.raises(OptionError, match="its weights differ"):
        DAgger(initial=steering, throttle="learned", **given)
    with pytest.raises(OptionError, match="neither a policy of a network"):
        DAgger(initial=cast("Any", PurePursuit()), **given)
    assert DAgger(initial=steering, **given).config.throttle == "speed_control"
    with pytest.raises(OptionError, match="is of 1 networks, but members=3"):
        HGDAgger(initial=steering, **given)
    with pytest.raises(OptionError, match="give the same preprocessing"):
        DAgger(initial=steering, preprocessing=Preprocessing(crop=(50, 140)), **given)


def test_a_car_that_leaves_the_road_starts_again_elsewhere(env: Any, tmp_path: Path) -> None:
    def reckless(observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        return np.array([0.6, 1.0], np.float32)

    learner = DAgger(
        env=env, expert=reckless, folder=tmp_path / "run", **{**SMALL, "rounds": 1, "frames": 300}
    )
    learner.learn()
    recording = open_recording(tmp_path / "run" / "rounds" / "round_000")
    starts = [episode[0].extra["s"] for episode in recording.episodes]
    assert learner.round_log[0].falls >= 4
    assert learner.round_log[0].falls <= len(starts) <= learner.round_log[0].falls + 2
    assert np.std(starts) > 100
    assert len(recording) == 300


def test_a_car_may_be_put_back_where_it_fell(env: Any, tmp_path: Path) -> None:
    def reckless(observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        return np.array([0.6, 1.0], np.float32)

    options = {**SMALL, "rounds": 1, "frames": 90, "rollouts": 1, "put_back": True, "start": {"s": 50.0}}
    DAgger(env=env, expert=reckless, folder=tmp_path / "run", **options).learn()
    episodes = open_recording(tmp_path / "run" / "rounds" / "round_000").episodes
    assert len(episodes) >= 2
    assert episodes[0][0].extra["s"] == pytest.approx(50.0, abs=0.5)
    for before, after in itertools.pairwise(episodes):
        start = after[0].extra
        assert start["s"] == pytest.approx(before[-1].extra["s"], abs=1.5)
        assert abs(start["cte"]) < 0.01


def test_the_best_policy_by_driving_is_returned_if_rounds_are_judged(env: Any, tmp_path: Path) -> None:
    short = gymnasium.make("UdacitySim-v0", max_seconds=4.0)
    options = {**SMALL, "rounds": 2, "laps": 1}
    learner = DAgger(env=short, expert=PurePursuit(), folder=tmp_path / "run", **options)
    with pytest.warns(UserWarning, match="only 0 of 1 laps are judged"):
        policy = learner.learn()
    judged = [(round.interventions, round.judged_metres) for round in learner.round_log]
    assert all(count is not None and metres is not None for count, metres in judged)
    rates = [(i or 0) / max(m or 0.0, 1.0) for i, m in judged]
    best = max(i for i, rate in enumerate(rates) if rate == min(rates))
    assert_same(policy, load_policy(tmp_path / "run" / "policies" / f"round_00{best}"))


def test_somebody_may_label_a_round_afterwards(env: Any, tmp_path: Path, road_recording: Path) -> None:
    folder = tmp_path / "run"
    options: dict[str, Any] = {**SMALL, "rounds": 2, "folder": folder}
    with pytest.raises(TrainingError, match=r"round_001 waits for labels.*label_round"):
        DAgger(road_recording, env=env, **options).learn()
    assert label_round(folder / "rounds" / "round_001", lambda frame: -0.25) == 60
    learner = DAgger(road_recording, env=env, **options)
    learner.learn()
    assert (learner.round_log[1].labels, learner.round_log[1].train_frames) == (60, 160 + 60)
    for frame, extra in extras(folder / "rounds" / "round_001"):
        assert extra["expert_action"] == pytest.approx([-0.25, frame.throttle - frame.brake])


def test_the_track_of_a_learner_is_the_one_its_rounds_are_driven_on(
    env: Any, tmp_path: Path, road_recording: Path
) -> None:
    start = {"track": "jungle", "direction": "reverse", "s": "random"}
    options: dict[str, Any] = {**SMALL, "rounds": 2, "frames": 20, "folder": tmp_path / "run", "start": start}
    with pytest.raises(TrainingError, match="waits for labels"):
        DAgger(road_recording, env=env, **options).learn()
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["track"].startswith("jungle reverse")
    label_round(tmp_path / "run" / "rounds" / "round_001", lambda frame: 0.0)
    assert len(DAgger(road_recording, env=env, **options).learn().actions) == 2
    home: dict[str, Any] = {**SMALL, "rounds": 1, "folder": tmp_path / "home"}
    DAgger(road_recording, env=env, expert=PurePursuit(), **home).learn()  # in what was left in the jungle
    assert json.loads((tmp_path / "home" / "settings.json").read_text())["track"].startswith("lake forward")


def test_rounds_are_judged_on_the_track_that_they_are_driven_on(road_recording: Path) -> None:
    driven: set[tuple[str, str]] = set()

    class Noting(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            track = self.env.unwrapped.track  # type: ignore[attr-defined]
            driven.add((track.name, track.direction))
            return super().step(action)

    short = Noting(gymnasium.make("UdacitySim-v0", max_seconds=1.0))
    start = {"track": "jungle", "direction": "reverse", "s": "random", "speed": 5.0}
    options = {**SMALL, "rounds": 1, "laps": 1, "start": start}
    with pytest.warns(UserWarning, match="only 0 of 1 laps are judged"):
        DAgger(road_recording, env=short, expert=PurePursuit(), **options).learn()
    assert driven == {("jungle", "reverse")}
    short.close()


def test_a_round_waits_until_each_frame_is_labelled_or_skipped(
    env: Any, tmp_path: Path, road_recording: Path
) -> None:
    folder = tmp_path / "run" / "rounds" / "round_001"

    def learner() -> DAgger:
        return DAgger(road_recording, env=env, folder=tmp_path / "run", **{**SMALL, "rounds": 2})

    def tired(frame: Frame) -> float:
        if frame.row > 12:
            raise KeyboardInterrupt
        return 0.5

    for left in (60, 48, 10):
        with pytest.raises(
            TrainingError, match=rf"{left} of 60 labels are missing.*'skip' leaves a frame out"
        ):
            learner().learn()
        if left == 60:
            with pytest.raises(KeyboardInterrupt):
                label_round(folder, tired)
        elif left == 48:
            label_round(folder, lambda frame: "skip" if frame.row > 22 else None)
    label_round(folder, lambda frame: 0.5)
    finished = learner()
    finished.learn()
    assert (finished.round_log[1].labels, finished.round_log[1].train_frames) == (22, 160 + 22)
    assert label_round(folder, lambda frame: 0.5 if frame.row > 50 else None, again=True) == 10
    assert sum("skipped" in extra for _, extra in extras(folder)) == 28


def test_a_skipped_frame_is_not_learnt_whoever_drove_it(road_recording: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(road_recording, tmp_path / "road"))
    assert label_round(folder, lambda frame: "skip" if frame.row <= 40 else None) == 0
    assert Frames.of([open_recording(folder)]).index.tolist() == list(range(40, 160))


def test_a_labeller_labels_each_round_as_it_comes(env: Any, tmp_path: Path, road_recording: Path) -> None:
    seen = []

    def labeller(frame: Frame) -> tuple[float, float]:
        seen.append(frame.image().shape)
        return 0.1, 0.5

    learner = DAgger(road_recording, env=env, labeller=labeller, folder=tmp_path / "run", **SMALL)
    learner.learn()
    assert seen == [(160, 320, 3)] * 120
    assert [round.train_frames for round in learner.round_log] == [160, 220, 280]
    assert [round.labels for round in learner.round_log] == [0, 60, 60]


def test_a_learner_that_keeps_nothing_can_learn_again_and_waits_for_no_labels(
    env: Any, road_recording: Path
) -> None:
    answers: list[Any] = [0.1] * 120
    learner = DAgger(road_recording, env=env, labeller=lambda frame: answers.pop(), **SMALL)
    first = learner.learn()
    answers = [0.1] * 120
    assert_same(first, learner.learn())
    answers = [None] * 60
    with pytest.raises(TrainingError, match=r"60 of 60 labels are missing in round 1, which is lost"):
        learner.learn()


def test_labelling_goes_on_where_it_was_interrupted(road_recording: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(road_recording, tmp_path / "road"))

    def tired(frame: Frame) -> float:
        if frame.row > 70:
            raise InterruptionError
        return 0.5

    with pytest.raises(InterruptionError):
        label_round(folder, tired)
    assert label_round(folder, lambda frame: (-0.5, 0.2)) == 90
    assert label_round(folder, lambda frame: 1.0) == 0
    labels = [extra["expert_action"] for _, extra in extras(folder)]
    assert labels == [[0.5, 0.5]] * 70 + [[-0.5, 0.2]] * 90
    assert label_round(folder, lambda frame: 1.0 if frame.row <= 10 else None, again=True) == 10
    with pytest.raises(OptionError, match="row 1: a label is"):
        label_round(folder, lambda frame: "left", again=True)


def test_a_folder_of_something_else_or_of_other_settings_is_refused(env: Any, tmp_path: Path) -> None:
    options = {**SMALL, "rounds": 1}
    DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "run", **options).learn()
    with pytest.raises(CheckpointError, match="learning with frames=60 was begun here, now it is 50"):
        DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "run", **{**options, "frames": 50}).learn()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("Dear mother")
    with pytest.raises(CheckpointError, match=r"something else.*to-mother"):
        DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "letters", **options)


def test_demonstrations_expert_and_track_of_another_learner_are_refused(
    env: Any, tmp_path: Path, road_recording: Path
) -> None:
    options = {**SMALL, "rounds": 1}
    other = write_road_recording(tmp_path / "other", np.linspace(-1, 1, 40))
    shown, driven = tmp_path / "shown", tmp_path / "driven"
    DAgger(road_recording, env=env, expert=PurePursuit(), folder=shown, **options).learn()
    DAgger(env=env, expert=PurePursuit(), folder=driven, **options).learn()
    begun = r"with {}=.* was begun here, now it is {}"
    for recordings, folder, now in ((other, shown, "'40 rows"), (None, shown, None), (other, driven, "'40")):
        with pytest.raises(CheckpointError, match=begun.format("demonstrations", now)):
            DAgger(recordings, env=env, expert=PurePursuit(), folder=folder, **options).learn()
    with pytest.raises(CheckpointError, match=begun.format("expert", "'Tired'")):
        DAgger(env=env, expert=Tired(), folder=driven, **options).learn()
    for place, name in (({"track": "jungle"}, "jungle forward"), ({"direction": "reverse"}, "lake reverse")):
        elsewhere = gymnasium.make("UdacitySim-v0", **place)
        with pytest.raises(CheckpointError, match=begun.format("track", f"'{name}")):
            DAgger(env=elsewhere, expert=PurePursuit(), folder=driven, **options).learn()
    moved = shutil.copytree(road_recording, tmp_path / "moved")
    DAgger(moved, env=env, expert=PurePursuit(), folder=shown, **options).learn()


def test_a_learner_does_not_go_on_in_other_weather_time_steps_or_with_another_network_for_an_expert(
    env: Any, tmp_path: Path, road_recording: Path
) -> None:
    def learn(expert: Any, folder: str, env: Any = env) -> None:
        DAgger(
            env=env, expert=expert, folder=tmp_path / folder, **{**SMALL, "rounds": 1, "frames": 20}
        ).learn()

    clones = [BehavioralCloning(road_recording, **QUICK, seed=seed).learn() for seed in (0, 1)]
    learn(PolicyExpert(clones[0]), "clone")
    learn(PolicyExpert(clones[0]), "clone")
    with pytest.raises(CheckpointError, match=r"expert='PolicyExpert\(NetworkPolicy \w+\)' was begun here"):
        learn(PolicyExpert(clones[1]), "clone")
    learn(NoisyExpert(PurePursuit()), "noisy")
    with pytest.raises(CheckpointError, match=r"it is 'NoisyExpert\(Tired\)'"):
        learn(NoisyExpert(Tired()), "noisy")
    for name, value in {"conditions": "rain", "ctrl_dt": 0.1}.items():
        other = gymnasium.make("UdacitySim-v0", **{name: value})
        with pytest.raises(CheckpointError, match=f"with {name}="):
            learn(NoisyExpert(PurePursuit()), "noisy", other)


def test_learners_of_versions_that_did_not_know_a_setting_go_on(env: Any, tmp_path: Path) -> None:
    options = {**SMALL, "rounds": 1}
    DAgger(env=env, expert=PurePursuit(), folder=tmp_path, **options).learn()
    path = tmp_path / "settings.json"
    settings = json.loads(path.read_text())
    del settings["put_back"], settings["conditions"]
    del settings["augmentation"]["flip"]
    path.write_text(json.dumps(settings))
    DAgger(env=env, expert=PurePursuit(), folder=tmp_path, **options).learn()
    for change in ({"put_back": True}, {"augmentation": Augmentation(flip=0.1)}):
        with pytest.raises(CheckpointError, match=f"with {next(iter(change))}="):
            DAgger(env=env, expert=PurePursuit(), folder=tmp_path, **options, **change).learn()


def test_a_schedule_of_ones_own_goes_on_and_another_is_refused(env: Any, tmp_path: Path) -> None:
    def learner(schedule: Any, rounds: int = 2) -> DAgger:
        options = {**SMALL, "rounds": rounds, "frames": 30}
        return DAgger(env=env, expert=PurePursuit(), folder=tmp_path, beta=schedule, **options)

    learner(lambda round: 0.5).learn()
    longer = learner(lambda round: 0.5 if round < 2 else 0.25, rounds=3)
    longer.learn()
    assert [round.about["beta"] for round in longer.round_log] == [1.0, 0.5, 0.25]
    (tmp_path / "rounds.json").write_text("[]")  # killed before round 0 was finished
    learner("first_round", rounds=1).learn()
    with pytest.raises(CheckpointError, match=r"round 1 was driven with beta=0.5, now it would be 0;"):
        learner("first_round").learn()


def test_mistakes_are_named(env: Any) -> None:
    with pytest.raises(OptionError, match="somebody to learn from"):
        DAgger(env=env, **SMALL)
    with pytest.raises(OptionError, match="did you mean 'rounds'"):
        DAgger(env=env, expert=PurePursuit(), round=3)
    with pytest.raises(OptionError, match="DAgger has no setting 'patience'"):
        DAgger(env=env, expert=PurePursuit(), patience=3)
    with pytest.raises(OptionError, match="config must be of type DAggerConfig"):
        DAgger(env=env, expert=PurePursuit(), config=TrainingConfig())
    with pytest.raises(OptionError, match="beta='first' is no schedule"):
        DAggerConfig(beta="first")
    with pytest.raises(ActionError, match="the expert must give two finite numbers"):
        DAgger(env=env, expert=lambda o, i: [0.0], **SMALL).learn()
    with pytest.raises(OptionError, match="use HGDAgger"):
        DAgger(env=env, expert=lambda o, i: None, **SMALL).learn()


def test_who_can_not_drive_or_teach_is_refused_at_once(env: Any, road_recording: Path) -> None:
    clone: Any = BehavioralCloning(road_recording, **QUICK).learn()
    with pytest.raises(OptionError, match=r"wrap it: PolicyExpert\(policy\)"):
        DAgger(env=env, expert=clone, **SMALL)
    with pytest.raises(OptionError, match="expert=PurePursuit is a class: give an object of it"):
        DAgger(env=env, expert=PurePursuit, **SMALL)
    with pytest.raises(OptionError, match=r"labeller=.* must be a function"):
        DAgger(env=env, expert=PurePursuit(), labeller=cast("Any", 0.0), **SMALL)
    with pytest.raises(OptionError, match=r"give gymnasium.make\('UdacitySim-v0'\), or a function"):
        DAgger(env=cast("Any", "UdacitySim-v0"), expert=PurePursuit(), **SMALL)
    lock = threading.Lock()
    with pytest.raises(OptionError, match=r"the env or the expert can't be sent .* function that makes it"):
        DAgger(env=lambda: (lock, env)[1], expert=PurePursuit(), executor=2, **SMALL)
    blind = gymnasium.make("UdacitySim-v0", cameras=())
    with pytest.raises(OptionError, match=r"images of the center camera.*cameras=\(\)"):
        DAgger(env=blind, expert=PurePursuit(), **SMALL)


@pytest.mark.parametrize("learner", [DART, EnsembleDAgger, HGDAgger, SafeDAgger, ThriftyDAgger])
def test_only_dagger_can_do_without_an_expert(
    env: Any, tmp_path: Path, road_recording: Path, learner: Any
) -> None:
    with pytest.raises(OptionError, match=f"{learner.__name__} needs expert="):
        learner(road_recording, env=env, labeller=lambda frame: 0.0, folder=tmp_path / "run", **SMALL)


def test_labels_can_not_come_later_if_nothing_is_kept(env: Any, road_recording: Path) -> None:
    with pytest.raises(OptionError, match=r"give labeller=\.\.\., or folder="):
        DAgger(road_recording, env=env, **SMALL)


def test_it_is_a_learner_that_the_command_finds_by_its_name(env: Any, tmp_path: Path) -> None:
    words = {name: value for name, value in SMALL.items() if name != "progress"}  # which is set in Python
    learner = make_learner(
        find_learner("dagger"),
        [],
        {**words, "rounds": 1, "beta": Linear(3)},
        seed=5,
        folder=tmp_path / "run",
        env=env,
        expert=PurePursuit(),
    )
    learner.learn().save(tmp_path / "run" / "policy")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (settings["seed"], settings["expert"]) == (5, "PurePursuit")


@pytest.mark.long
def test_memory_does_not_grow_with_the_rounds(env: Any) -> None:
    """All images of the rounds would take 14 MB more; what is kept of a row is its numbers and name."""
    used = []

    def measure(round: Round) -> None:
        gc.collect()
        used.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        options = {**SMALL, "rounds": 8, "memory_budget": 2e6}
        DAgger(env=env, expert=PurePursuit(), **options).learn(measure)
    finally:
        tracemalloc.stop()
    assert used[-1] - used[2] < 0.5e6


def wrap_discrete(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    return gymnasium.wrappers.TransformAction(
        env, lambda action: np.array([0.0, 0.3], np.float32), gymnasium.spaces.Discrete(9)
    )


def wrap_stacked(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    return gymnasium.wrappers.FrameStackObservation(env, 3)


@pytest.mark.parametrize(
    ("wrap", "arguments", "message"),
    [
        (
            None,
            {"image_size": (80, 160)},
            r"images are 80x160, and the policy takes 160x320 .*image_size=\(160",
        ),
        (wrap_discrete, {}, r"action is Discrete\(9\).*remove DiscretizeAction"),
        (SpeedControl, {}, 'remove SpeedControl; throttle="speed_control"'),
        (wrap_stacked, {}, r"shape \(3, 160, 320, 3\).*past_frames="),
    ],
)
@pytest.mark.parametrize("as_function", [False, True])
def test_an_environment_that_does_not_fit_is_refused_before_a_round_is_driven(
    wrap: Any, arguments: dict[str, Any], message: str, as_function: bool, tmp_path: Path
) -> None:
    env: Any = gymnasium.make("UdacitySim-v0", **arguments)
    env = env if wrap is None else wrap(env)
    with env:
        given = (lambda: env) if as_function else env
        with pytest.raises(OptionError, match=message):
            DAgger(env=given, expert=PurePursuit(), folder=tmp_path / "run", **SMALL).learn()
        rounds = tmp_path / "run" / "rounds"
        assert not rounds.exists()


def test_a_vector_environment_and_raw_arrays_are_refused_with_a_way_out(env: Any) -> None:
    cars = udacity_gym.UdacityVectorEnv(2)
    with pytest.raises(OptionError, match="is a vector environment: give a single one"):
        DAgger(env=cast("Any", cars), expert=PurePursuit(), **SMALL)
    cars.close()
    images = np.zeros((4, 160, 320, 3), np.uint8)
    for arrays in (images, [images, np.zeros((4, 2))]):
        with pytest.raises(OptionError, match=r"recordings are arrays.*Frames.from_arrays"):
            DAgger(cast("Any", arrays), env=env, expert=PurePursuit(), **SMALL)
        with pytest.raises(OptionError, match=r"recordings are arrays.*Frames.from_arrays"):
            BehavioralCloning(cast("Any", arrays), **QUICK)


def test_every_step_of_a_training_is_announced(env):
    steps = []
    learner = EnsembleDAgger(
        env=env, expert=PurePursuit(), members=2, rounds=1, frames=40, **{**QUICK, "epochs": 2}
    )
    learner.learn(after_step=steps.append)
    assert [(s.network, s.epoch, s.step) for s in steps] == [
        (network, epoch, step) for network in (1, 2) for epoch in (1, 2) for step in (1, 2, 3)
    ]
    assert {(s.networks, s.epochs, s.steps) for s in steps} == {(2, 2, 3)}


def test_a_window_says_that_a_policy_is_trained(monkeypatch):
    captions = []
    env = make_env()
    monkeypatch.setattr(env.unwrapped, "keep_window_alive", captions.append, raising=True)
    DAgger(env=env, expert=PurePursuit(), rounds=1, frames=40, **QUICK).learn()
    assert captions == ["training, epoch 1 of 1"] * 3
    env.close()
