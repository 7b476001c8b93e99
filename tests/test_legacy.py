"""Files that version 0.1 has written still load, and what was begun with them goes on; see legacy/make.py."""

import io
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from legacy.tiny_network import TinyNetwork

import udacity_gym  # noqa: F401  (registers the environment)
from algorithms import (
    BehavioralCloning,
    DAgger,
    Ensemble,
    HGDAgger,
    NetworkPolicy,
    Preprocessing,
    load_policy,
    make_network,
)
from algorithms.policies.networks import NETWORKS
from udacity_gym.cli.shared import load_driver
from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation import (
    Evaluation,
    ForEachTrack,
    Suite,
    SuiteResult,
    run_suite,
    scenarios,
)
from udacity_gym.evaluation.identity import _Describer, identity_of
from udacity_gym.experts import (
    PID,
    NoisyExpert,
    PolicyExpert,
    PurePursuit,
    Racing,
    ScriptedHuman,
    make_expert,
)
from udacity_gym.recording import open_recording, summarize
from udacity_gym.world.track import Track

LEGACY = Path(__file__).parent / "legacy"
EXPECTED: dict[str, Any] = json.loads((LEGACY / "expected.json").read_text())
IMAGE_SIZE = (32, 64)
SETTINGS: dict[str, Any] = {
    "network": "TinyNetwork",
    "preprocessing": Preprocessing(camera_size=IMAGE_SIZE, crop=(12, 27), size=(8, 24)),
    "batch_size": 4,
    "threads": 1,
    "side_cameras": 0.0,
    "progress": False,
}
ROUNDS: dict[str, Any] = {**SETTINGS, "rounds": 3, "frames": 8, "epochs": 1, "steps_per_epoch": 2, "seed": 7}
SUITE = Suite("legacy-v1", scenarios(), seeds=(0, 1), intervene=("edge",), max_seconds=0.6)


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setitem(NETWORKS.objects, "TinyNetwork", TinyNetwork)


@pytest.fixture
def env():
    env = gym.make("UdacitySim-v0", image_size=IMAGE_SIZE)
    yield env
    env.close()


def copy(name, tmp_path):
    return Path(shutil.copytree(LEGACY / name, tmp_path / name))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def images(count):
    grid = np.arange(count * 32 * 64 * 3, dtype=np.int64).reshape(count, 32, 64, 3)
    return (grid * 31 % 251).astype(np.uint8)


def predictions(policy):
    found, state = [], None
    for i, image in enumerate(images(4)):
        observation = {"center": image, "speed": np.array([2.0 * i], np.float32)} if policy.inputs else image
        action, state = policy.predict(observation, state, np.array([i == 0]))
        found.append(action)
    return np.array(found)


def assert_predicts(policy, name, tolerance=1e-4):
    np.testing.assert_allclose(predictions(policy), EXPECTED[name]["predictions"], atol=tolerance)


@pytest.mark.parametrize("name", ["policy", "steering_policy", "ensemble"])
def test_a_checkpoint_predicts_what_it_predicted(name):
    assert_predicts(load_policy(LEGACY / name), name)


def test_a_checkpoint_that_is_saved_again_predicts_the_same(tmp_path):
    for name in ("policy", "steering_policy", "ensemble"):
        load_policy(LEGACY / name).save(tmp_path / name)
        assert_predicts(load_policy(tmp_path / name), name)


@pytest.mark.parametrize("name", EXPECTED["networks"])
def test_weights_of_our_networks_have_the_names_and_shapes_that_checkpoints_have(name):
    outputs, frames, measurements = {"PilotNet": (2, 3, 1), "PilotLSTM": (2, 3, 1), "SmallResNet": (2, 1, 0)}[
        name
    ]
    network = make_network(name, outputs, frames=frames, measurements=measurements)
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == EXPECTED["networks"][
        name
    ]


def test_a_recording_reads_the_same_values():
    recording, expected = open_recording(LEGACY / "recording"), EXPECTED["recording"]
    assert len(recording) == expected["frames"]
    assert list(recording.cameras) == expected["cameras"]
    for episode, columns in zip(recording.episodes, expected["episodes"], strict=True):
        for name, values in columns.items():
            np.testing.assert_allclose(getattr(episode, name), values, atol=1e-9)
    assert [frame.extra for frame in recording.frames()] == expected["extras"]
    means = [frame.image().mean() for frame in recording.frames()]
    np.testing.assert_allclose(means, expected["means"], atol=2.0)  # JPEG decoders differ a little
    assert summarize(recording).drivers == expected["drivers"]
    assert summarize(recording).laps == pytest.approx(expected["laps"])


def test_a_track_file_is_the_same_track():
    track, expected = Track.load(LEGACY / "track.json"), EXPECTED["track"]
    assert track.length == pytest.approx(expected["length"])
    np.testing.assert_allclose(track.x[::100], expected["x"], atol=1e-6)
    np.testing.assert_allclose(track.z[::100], expected["z"], atol=1e-6)


def test_a_saved_evaluation_has_the_same_figures():
    evaluation, expected = Evaluation.load(LEGACY / "evaluation.json"), EXPECTED["evaluation"]
    assert len(evaluation.trajectory) == expected["rows"]
    assert evaluation.interventions == expected["interventions"]
    for name in ("autonomy", "mean_abs_cte", "mean_speed", "distance", "seconds"):
        assert getattr(evaluation, name) == pytest.approx(expected[name])


def test_a_training_goes_on_after_its_first_epoch(tmp_path):
    folder, epochs = copy("training", tmp_path), []
    learner = BehavioralCloning(
        LEGACY / "recording", **SETTINGS, epochs=2, seed=5, inputs=("speed",), past_frames=1, folder=folder
    )
    policy = learner.learn(epochs.append)
    assert [epoch.epoch for epoch in epochs] == [2]
    losses = [epoch.train_loss for epoch in learner.epoch_log]
    np.testing.assert_allclose(losses, EXPECTED["training"]["train_losses"], rtol=1e-2)
    assert_predicts(policy, "training", 1e-3)


def go_on(learner, folder, frames):
    """Let an interactive learner do its last round, and make sure that it keeps the rounds before."""
    before, rounds = contents(folder), []
    learner.learn(rounds.append)
    assert [round.round for round in rounds] == [2]
    after = contents(folder)
    kept = [name for name in before if name.startswith(("rounds", "policies"))]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert len(open_recording(folder / "rounds" / "round_002")) == frames
    assert [round.round for round in learner.round_log] == [0, 1, 2]


def test_dagger_goes_on_with_the_next_round(env, tmp_path):
    folder = copy("dagger", tmp_path)
    go_on(DAgger(env=env, expert=PurePursuit(), folder=folder, **ROUNDS), folder, 8)
    assert isinstance(load_policy(folder), NetworkPolicy)


def test_hg_dagger_goes_on_with_the_next_round(env, tmp_path):
    folder = copy("hg_dagger", tmp_path)
    human = ScriptedHuman(PurePursuit(), cte=0.5, reaction_time=0.0, recovered_cte=0.3)
    start = {"s": "random", "heading_error": 0.12, "speed": 8.0}
    demonstrations = LEGACY / "dagger" / "rounds" / "round_000"
    options = {**ROUNDS, "frames": 16, "rollouts": 1, "members": 2, "start": start}
    go_on(HGDAgger(demonstrations, env=env, expert=human, folder=folder, **options), folder, 16)
    assert isinstance(load_policy(folder), Ensemble)


def drivers():
    return {
        "pid": PID(speed=9.0),
        "by_name": ForEachTrack(partial(make_expert, "pure_pursuit"), "pure_pursuit"),
        "command": ForEachTrack(partial(load_driver, "expert"), "expert"),
        "pure_pursuit": PurePursuit(),
        "policy": load_policy(LEGACY / "policy"),
        "ensemble": load_policy(LEGACY / "ensemble"),
        "policy_expert": PolicyExpert(load_policy(LEGACY / "steering_policy")),
        "noisy": NoisyExpert(PID(), seed=3),
        "function": ForEachTrack(partial(make_expert, "pid", speed=9.0), "pid"),
        "racing": Racing(),
        "human": ScriptedHuman(PID()),
    }


@pytest.mark.parametrize("name", sorted(path.name for path in (LEGACY / "suites").iterdir()))
def test_a_suite_goes_on_without_driving_again_what_is_done(name, tmp_path):
    folder = copy("suites", tmp_path) / name
    first = (folder / "episodes.jsonl").read_bytes()
    with pytest.warns(UserWarning, match="written by an older version"):
        result = run_suite(drivers()[name], SUITE, folder=folder, name=name)
    lines = (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[0] == first
    assert len(lines) == 2
    assert result.complete
    assert SuiteResult.load(folder).complete
    with pytest.warns(UserWarning, match="written by an older version"):
        assert run_suite(drivers()[name], SUITE, folder=folder, name=name).complete  # and nothing is added
    assert (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True) == lines


def test_an_older_suite_of_another_identity_that_is_given_is_refused(tmp_path):
    folder = copy("suites", tmp_path) / "pid"
    with pytest.raises(UdacityGymError, match="identity"):
        run_suite(drivers()["pid"], SUITE, folder=folder, name="pid", identity="mine")


@pytest.mark.filterwarnings("ignore:.*written by an older version")
def test_a_driver_that_went_on_with_an_older_suite_is_known_from_then_on(tmp_path):
    folder = copy("suites", tmp_path) / "pid"
    run_suite(drivers()["pid"], SUITE, folder=folder, name="pid")
    with pytest.raises(UdacityGymError, match="identity"):
        run_suite(PID(speed=9.5), SUITE, folder=folder, name="pid")


@pytest.mark.parametrize("name", EXPECTED["identities"])
def test_a_driver_has_one_identity(name):
    assert identity_of(drivers()[name]) is not None
    assert identity_of(drivers()[name]) == identity_of(drivers()[name])


@pytest.mark.parametrize(
    "name", [name for name in EXPECTED["identities"] if name not in ("policy", "ensemble")]
)
def test_an_identity_has_no_module_in_it(name):
    description = io.BytesIO()
    _Describer(description, protocol=4).dump(drivers()[name])
    for word in (b"udacity_gym", b"algorithms", b"experts", b"numpy"):
        assert word not in description.getvalue()


class Driver:
    """A driver that may change."""

    def __init__(self):
        self.speed, self.gain = 3.0, 0.5

    def __call__(self, observation, info):
        """Stand still."""
        return np.zeros(2, np.float32)


def test_a_driver_that_has_moved_is_the_same(monkeypatch):
    identity = identity_of(Driver())
    monkeypatch.setattr(Driver, "__module__", "elsewhere.driving")
    assert identity_of(Driver()) == identity
