"""PilotNets that drive without torch."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from algorithms import Ensemble, NetworkPolicy, NumpyPolicy, Preprocessing, load_policy, make_network
from tests.pages import ROOT
from udacity_gym.driving import load_policy as load_any_policy
from udacity_gym.errors import CheckpointError, MissingDependencyError
from udacity_gym.installation import install_command

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 160, 320, 3), np.uint8)


def pilotnet(**settings: object) -> NetworkPolicy:
    network = make_network("PilotNet", 2, seed=1)
    return NetworkPolicy(network, Preprocessing(), ("steering", "throttle"), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("color", ["yuv", "rgb"])
def test_numpy_acts_as_torch_does(tmp_path: Path, half: bool, color: str):
    policy = pilotnet()
    policy.preprocessing = Preprocessing(color=color, crop=(50, 140))
    if half:
        policy.network.half()
    folder = policy.save(tmp_path / "policy")
    actions, _ = load_policy(folder).predict(IMAGES)
    same, state = NumpyPolicy.load(folder).predict(IMAGES)
    assert same.dtype == np.float32
    assert state is None
    np.testing.assert_allclose(same, actions, atol=1e-5)
    np.testing.assert_allclose(NumpyPolicy.load(folder).predict(IMAGES[0])[0], actions[0], atol=1e-5)


def test_it_says_of_itself_what_the_policy_says(tmp_path: Path):
    policy = NetworkPolicy(
        make_network("PilotNet", 1), Preprocessing(), ("steering",), 9.0, {"learner": "me"}
    )
    same = NumpyPolicy.load(policy.save(tmp_path / "policy"))
    for name in ("actions", "target_speed", "image_size", "camera", "inputs", "past_frames", "training"):
        assert getattr(same, name) == getattr(policy, name)
    again = NumpyPolicy.load(same.save(tmp_path / "copy"))
    np.testing.assert_array_equal(again.predict(IMAGES)[0], same.predict(IMAGES)[0])


@pytest.mark.parametrize("load", [load_policy, load_any_policy])
def test_without_torch_numpy_drives(tmp_path: Path, load, monkeypatch: pytest.MonkeyPatch):
    folder = pilotnet().save(tmp_path / "training" / "policy")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert isinstance(load(folder.parent), NumpyPolicy)


def test_an_ensemble_drives_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ensemble = Ensemble([pilotnet(), pilotnet()])
    actions, _ = ensemble.predict(IMAGES)
    folder = ensemble.save(tmp_path / "policy")
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_allclose(load_policy(folder).predict(IMAGES)[0], actions, atol=1e-5)


def test_in_an_environment_without_torch_a_policy_loads_and_nothing_else_asks_for_it(tmp_path: Path):
    folder = pilotnet().save(tmp_path / "policy")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, algorithms, udacity_gym.evaluation, udacity_gym.cli\n"
        f"policy = algorithms.load_policy({str(folder)!r})\n"
        "print(policy, policy.predict(np.zeros((160, 320, 3), np.uint8))[0].shape)\n"
        "try: algorithms.BehavioralCloning\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    policy, error = done.stdout.splitlines()
    assert policy == "NumpyPolicy(PilotNet, actions=('steering', 'throttle')) (2,)"
    assert error.startswith("algorithms.BehavioralCloning needs torch")
    assert install_command("train") in error


def test_other_policies_need_torch(tmp_path: Path):
    policies = {
        "network": NetworkPolicy(make_network("SmallResNet", 2), Preprocessing()),
        "loss": NetworkPolicy(make_network("PilotNet", 4), Preprocessing(), loss="gaussian"),
        "frames": NetworkPolicy(make_network("PilotNet", 2, frames=2), Preprocessing(), past_frames=1),
        "speed": NetworkPolicy(
            make_network("PilotNet", 2, measurements=1), Preprocessing(), inputs=("speed",)
        ),
    }
    for name, policy in policies.items():
        folder = policy.save(tmp_path / name)
        with pytest.raises(MissingDependencyError, match=re.escape(install_command("train"))):
            NumpyPolicy.load(folder)


def test_weights_of_another_network_are_refused(tmp_path: Path):
    folder = NetworkPolicy(make_network("SmallResNet", 2), Preprocessing()).save(tmp_path / "policy")
    path = folder / "policy.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps({**description, "network": "PilotNet"}))
    with pytest.raises(CheckpointError, match="not those of a PilotNet"):
        NumpyPolicy.load(folder)
    with pytest.raises(CheckpointError, match="no such folder"):
        NumpyPolicy.load(tmp_path / "nothing")
