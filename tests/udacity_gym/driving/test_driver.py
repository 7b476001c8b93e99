"""`as_driver` makes a driver of almost anything that can drive, and says what is wrong with the rest."""

import json
import os
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import gymnasium
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from udacity_gym.driving import (
    Driver,
    ExpertDriver,
    GatedDriver,
    Handover,
    Mixture,
    ObservationError,
    OnnxPolicy,
    PolicyDriver,
    as_driver,
    drive,
    load_policy,
    loading,
    name_of,
)
from udacity_gym.driving.onnx_policy import KEY
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, CheckpointError, OptionError
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PID, Human, Noise, NoisyExpert, PolicyExpert, PurePursuit, Reading
from udacity_gym.recording import record
from udacity_gym.wrappers import SpeedControl

SIZE = (32, 64)
STRAIGHT_ON = np.array([0.0, 0.5], np.float32)


class Policy:
    """Drives straight on and remembers how it was asked."""

    def __init__(self):
        self.asked = []

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.asked.append((state, bool(episode_start[0]), deterministic))
        return STRAIGHT_ON, (state or 0) + 1


def straight_on(observation, info):
    return STRAIGHT_ON


def actions_of(driver, env=None, **options):
    env = env or UdacityEnv(cameras=())
    return np.array(
        [step.decision.action for step in drive(env, driver, **{"steps": 5, "seed": 0, **options})]
    )


def write_onnx(path, values):
    """An ONNX file as `algorithms.export` writes them, whose action is always the same."""
    description = {
        "network": "Constant",
        "actions": ["steering", "throttle"],
        "target_speed": None,
        "image_size": list(SIZE),
        "camera": "center",
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["action"]),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, (1,), [1]),
        helper.make_tensor("zero", TensorProto.FLOAT, (1,), [0.0]),
        helper.make_tensor("values", TensorProto.FLOAT, (1, 2), values),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ("n", *SIZE, 3))
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, ("n", 2))
    graph = helper.make_graph(nodes, "constant", [image], [action], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {KEY: json.dumps(description)})
    onnx.save(model, str(path))
    return path


def test_a_policy_drives_with_its_memory_which_ends_with_the_episode():
    policy = Policy()
    driver = as_driver(policy)
    assert isinstance(driver, PolicyDriver)
    assert isinstance(driver, Driver)
    env = UdacityEnv(cameras=(), max_seconds=0.2)
    steps = list(drive(env, driver, steps=5, on_truncation="restart"))
    assert policy.asked == [
        (None, True, True),
        (1, False, True),
        (2, False, True),
        (None, True, True),
        (1, False, True),
    ]
    for step in steps:
        assert (step.decision.driver, step.decision.doubt, step.decision.label) == ("policy", None, None)
        np.testing.assert_array_equal(step.decision.policy_action, STRAIGHT_ON)


def test_a_policy_may_draw_its_actions():
    policy = Policy()
    actions_of(PolicyDriver(policy, deterministic=False), steps=2)
    assert [deterministic for _, _, deterministic in policy.asked] == [False, False]


def test_an_expert_a_function_and_a_human_drive():
    (step,) = drive(UdacityEnv(cameras=()), PurePursuit(), steps=1)
    assert (step.decision.driver, step.decision.is_label) == ("expert", True)
    np.testing.assert_array_equal(step.decision.label, step.decision.action)
    assert isinstance(as_driver(PurePursuit()), ExpertDriver)
    np.testing.assert_array_equal(actions_of(lambda observation, info: [0.25, -3.0]), [[0.25, -1.0]] * 5)

    class Page:
        def read(self, time):
            return Reading(time, steering=0.5, throttle=0.25, active=True)

    (step,) = drive(UdacityEnv(cameras=()), Human(Page()), steps=1)
    assert step.decision.driver == "human"
    np.testing.assert_array_equal(step.decision.action, [0.5, 0.25])


def test_the_label_of_a_noisy_expert_is_what_it_wanted():
    expert = NoisyExpert(straight_on, Noise.of(0.2), seed=1)
    for step in drive(UdacityEnv(cameras=()), expert, steps=5):
        np.testing.assert_array_equal(step.decision.label, STRAIGHT_ON)
        assert step.decision.action[0] != 0.0


def test_a_model_of_stable_baselines3_drives():
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    env = UdacityEnv(cameras=(), max_seconds=10)
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=64, device="cpu", seed=0)
    assert isinstance(as_driver(model), PolicyDriver)
    steps = list(drive(UdacityEnv(cameras=()), model, steps=5, seed=0))
    for step in steps:
        chosen, _ = model.predict(step.observation, deterministic=True)
        np.testing.assert_array_equal(step.decision.action, np.clip(chosen, -1.0, 1.0))


def test_an_onnx_file_drives_by_its_path(tmp_path):
    path = write_onnx(tmp_path / "model.onnx", [0.25, 0.5])
    env = UdacityEnv(image_size=SIZE)
    for given in (path, str(path)):
        driver = as_driver(given)
        assert isinstance(driver.policy, OnnxPolicy)
        np.testing.assert_allclose(actions_of(given, env, steps=2), [[0.25, 0.5]] * 2)
    env.close()


def test_a_checkpoint_folder_drives_by_its_path(tmp_path):
    algorithms = pytest.importorskip("algorithms")
    policy = algorithms.NetworkPolicy(
        algorithms.make_network("PilotNet", 2, seed=1), algorithms.Preprocessing()
    )
    policy.save(tmp_path / "training" / "policy")
    env = UdacityEnv()
    expected = actions_of(policy, env, steps=2)
    for path in (tmp_path / "training" / "policy", tmp_path / "training", str(tmp_path)):
        np.testing.assert_array_equal(actions_of(path, env, steps=2), expected)
    env.close()


def test_an_expert_drives_by_its_name_on_the_track_of_the_environment():
    env = UdacityEnv(cameras=(), track="jungle")
    np.testing.assert_array_equal(actions_of("pure_pursuit", env), actions_of(PurePursuit("jungle"), env))
    np.testing.assert_array_equal(actions_of("pid", env), actions_of(PID(), env))


def test_a_driver_is_taken_as_it_is():
    for driver in (
        PolicyDriver(Policy()),
        ExpertDriver(straight_on),
        GatedDriver(None, straight_on, Mixture(1.0)),
        Handover(Policy(), straight_on),
    ):
        assert as_driver(driver) is driver


def test_who_drives_has_a_name_in_evaluations_and_recordings(tmp_path):
    class Named(Policy):
        name = "mine"

    assert [name_of(as_driver(who)) for who in (Policy(), Named(), straight_on, PurePursuit(), "pid")] == [
        "Policy",
        "mine",
        "straight_on",
        "PurePursuit",
        "PID",
    ]
    env = UdacityEnv(cameras=())
    assert evaluate("pure_pursuit", env, laps=1, max_seconds=0.5).policy == "PurePursuit"
    path = write_onnx(tmp_path / "model.onnx", [0.0, 0.5])
    seeing = UdacityEnv(image_size=SIZE)
    assert evaluate(path, seeing, laps=1, max_seconds=0.2).policy == "Constant"
    driven = record(
        UdacityEnv(cameras=("center", "left", "right")), "pure_pursuit", tmp_path / "drive", seconds=0.1
    )
    assert driven.episodes[0][0].extra["driver"] == "PurePursuit"


@pytest.mark.parametrize(
    ("nonsense", "message"),
    [
        (Policy, "Policy is a class: give an object of it"),
        (PurePursuit, "PurePursuit is a class: give an object of it"),
        (3, r"a driver is a policy with predict\(observation, ...\), a callable .* or the path .* got int"),
        (None, "got NoneType"),
        (np.zeros(2), "got ndarray"),
        (object(), "got object"),
    ],
)
def test_what_can_not_drive_is_refused(nonsense, message):
    with pytest.raises(OptionError, match=message):
        as_driver(nonsense)


@pytest.mark.parametrize("wrong", ["no-such-policy", "pure-pursuit", Path("nowhere")])
def test_a_path_or_name_of_nothing_is_refused_with_what_there_is(wrong):
    with pytest.raises(CheckpointError, match=r"neither the path .* nor the name .* pure_pursuit, racing"):
        as_driver(wrong)


def test_a_folder_without_a_policy_is_refused_with_what_could_be_loaded(tmp_path):
    with pytest.raises(CheckpointError, match=r"no policy at .* what can be loaded here is .*\.onnx"):
        as_driver(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no ONNX model"):
        as_driver(tmp_path / "broken.onnx")


def test_seats_refuse_what_does_not_fit_them():
    with pytest.raises(OptionError, match=r"a policy needs predict\(observation, ...\), function has none"):
        PolicyDriver(straight_on)
    with pytest.raises(OptionError, match=r"wrap it: PolicyExpert\(policy\)"):
        ExpertDriver(Policy())
    with pytest.raises(OptionError, match="expert=PurePursuit is a class"):
        ExpertDriver(PurePursuit)


def test_a_policy_with_three_actions_is_refused():
    class Three(Policy):
        def predict(self, observation, **_):
            return np.zeros(3), None

    with pytest.raises(ActionError, match=r"\(steering, throttle\) or .* Three gave shape \(3,\)"):
        actions_of(Three())


class WantsSpeed(Policy):
    """Remembers what it was shown."""

    inputs = ("speed",)

    def __init__(self, camera="center"):
        self.camera = camera
        self.observations = []

    def predict(self, observation, **_):
        self.observations.append(observation)
        return STRAIGHT_ON, None


def test_a_policy_that_wants_the_speed_is_given_it_beside_the_images():
    for cameras, keys in (
        (("center",), {"center", "speed"}),
        (("left",), {"left", "speed"}),
        (("center", "left"), {"center", "left", "speed"}),
        ((), {"state", "speed"}),
    ):
        policy = WantsSpeed()
        env = UdacityEnv(cameras=cameras, image_size=SIZE)
        actions_of(policy, env, steps=2, start={"speed": 6.0})
        assert set(policy.observations[0]) == keys
        np.testing.assert_allclose(policy.observations[0]["speed"], [6.0])
        assert policy.observations[0]["speed"].dtype == np.float32
        env.close()


def test_a_speed_that_nobody_tells_is_missed():
    with pytest.raises(ObservationError, match="info has no speed"):
        as_driver(WantsSpeed()).decide(np.zeros((*SIZE, 3), np.uint8), {"time": 0.0})


def test_in_an_environment_that_works_the_throttle_a_policy_only_steers():
    class Steers(Policy):
        actions = ("steering",)

        def predict(self, observation, **_):
            return np.array([0.1], np.float32), None

    env = SpeedControl(UdacityEnv(cameras=()), 8.0)
    np.testing.assert_allclose(actions_of(Steers(), env), np.full((5, 1), 0.1))
    np.testing.assert_allclose(actions_of(lambda *_: np.array([0.2], np.float32), env), np.full((5, 1), 0.2))


def test_an_ensemble_tells_its_doubt():
    class Doubts(Policy):
        def predict_with_doubt(self, observation, state=None, episode_start=None):
            return STRAIGHT_ON, None, np.float32(0.25)

    (step,) = drive(UdacityEnv(cameras=()), Doubts(), steps=1)
    assert step.decision.doubt == 0.25


def test_a_policy_expert_is_sent_without_what_it_remembers():
    expert = PolicyExpert(Counts())
    for time in (0.0, 0.1, 0.2):
        action = expert(None, {"time": time, "speed": 1.0})
    assert action[0] == pytest.approx(0.2)
    copy = pickle.loads(pickle.dumps(expert))
    assert copy(None, {"time": 0.3, "speed": 1.0})[0] == 0.0
    assert expert(None, {"time": 0.3, "speed": 1.0})[0] == pytest.approx(0.3)


class Counts:
    """Steers by the number of its steps in the episode."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        count = 0 if state is None else state + 1
        return np.array([count / 10, 0.5], np.float32), count


def load_mine(path):
    policy = Policy()
    policy.path = path
    return policy


@pytest.fixture
def installed(monkeypatch):
    """A package that loads policies from files ".mine" and from folders with "mine.json"."""
    points = [EntryPoint(name, f"{__name__}:load_mine", loading.GROUP) for name in (".mine", "mine.json")]
    monkeypatch.setattr(loading, "entry_points", lambda group: points if group == loading.GROUP else [])


@pytest.mark.usefixtures("installed")
def test_other_packages_load_policies_by_suffix_and_by_marker_file(tmp_path):
    file, folder, training = tmp_path / "policy.mine", tmp_path / "folder", tmp_path / "training"
    file.touch()
    for place in (folder, training / "policy"):
        place.mkdir(parents=True)
        (place / "mine.json").write_text("{}")
    for path in (file, folder, training, training / "policy"):
        assert load_policy(path).path == path
        assert as_driver(str(path)).policy.path == path
    with pytest.raises(CheckpointError, match="no such folder or file"):
        load_policy(tmp_path / "nowhere.mine")
    (tmp_path / "other" / "mine.json").mkdir(parents=True)  # a folder of that name is no marker
    with pytest.raises(CheckpointError, match=r"what can be loaded here is \.mine, \.onnx, mine\.json"):
        load_policy(tmp_path / "other")


def test_driving_needs_neither_torch_nor_the_learners():
    program = (
        "import sys, udacity_gym.driving as driving\n"
        "for name in driving.__all__: getattr(driving, name)\n"
        "from udacity_gym.env import UdacityEnv\n"
        "assert len(list(driving.drive(UdacityEnv(cameras=()), 'pid', steps=2))) == 2\n"
        "print([name for name in ('torch', 'algorithms', 'pygame', 'cv2') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert not {"torch", "algorithms"} & set(json.loads(result.stdout.replace("'", '"')))


def test_gymnasiums_wrappers_do_not_hide_the_track():
    env = gymnasium.wrappers.TimeLimit(UdacityEnv(cameras=(), track="jungle"), 20)
    *_, last = drive(env, PurePursuit())
    assert (last.reason, last.truncated) == ("truncated", True)
