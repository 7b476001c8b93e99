"""The policies that come with the package."""

import json
import re
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from algorithms import NetworkPolicy, NumpyPolicy, load_policy
from udacity_gym.cli.shared import load_driver, make_expert
from udacity_gym.driving import as_driver, load_policy as load_any_policy
from udacity_gym.driving.loading import PRETRAINED, policy_path, pretrained_names
from udacity_gym.errors import CheckpointError
from udacity_gym.evaluation import evaluate
from udacity_gym.hub import policy_card

NAMES = pretrained_names()
COMMAND = "run: python benchmarks/pretrained.py --output udacity_gym/pretrained"
IMAGE = np.random.default_rng(0).integers(0, 256, (160, 320, 3), np.uint8)


def test_there_is_one_for_each_track():
    assert NAMES == ["pretrained:jungle", "pretrained:lake", "pretrained:mountain"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_small_and_has_a_card_with_its_results(name: str):
    folder = policy_path(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    results = re.search(r"## Results\n\n```text\n(.*)\n```", card, re.S)
    assert results is not None
    facts = re.findall(r"^- (Data|Expert|Weights|Command): (.*)$", card, re.M)
    assert dict(facts).keys() == {"Data", "Expert", "Weights", "Command"}
    assert card == policy_card(folder, name, results[1], dict(facts)), COMMAND
    assert "[" in results[1], "intervals"


@pytest.mark.parametrize("name", NAMES)
def test_each_is_loaded_wherever_a_policy_is(name: str):
    policy = load_policy(name)
    assert isinstance(policy, NetworkPolicy)
    action, _ = policy.predict(IMAGE)
    for load in (load_any_policy, lambda name: load_driver(name, "lake")):
        np.testing.assert_array_equal(load(name).predict(IMAGE)[0], action)
    np.testing.assert_allclose(NumpyPolicy.load(policy_path(name)).predict(IMAGE)[0], action, atol=1e-5)
    assert as_driver(name) is not None
    assert as_driver(Path(name)) is not None
    assert make_expert(name, "lake").policy.target_speed == policy.target_speed


def test_a_wrong_name_is_answered_with_the_right_ones():
    with pytest.raises(CheckpointError, match=r"no policy pretrained:moon; .* pretrained:jungle"):
        load_policy("pretrained:moon")
    with pytest.raises(CheckpointError, match=r"no policy pretrained:\.\./lake"):
        policy_path("pretrained:../lake")
    with pytest.raises(CheckpointError, match="pretrained:lake"):
        load_driver("nobody", "lake")


def test_one_can_be_trained_on(tmp_path: Path):
    from algorithms import BehavioralCloning
    from udacity_gym.experts import PurePursuit
    from udacity_gym.recording import record

    with gymnasium.make("UdacitySim-v0") as env:
        laps = record(env, PurePursuit(), tmp_path / "laps", seconds=4)
    learner = BehavioralCloning(laps, initial="pretrained:lake", epochs=1, throttle="speed_control")
    before, after = load_policy("pretrained:lake").predict(IMAGE)[0], learner.learn().predict(IMAGE)[0]
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


def test_the_weights_on_disk_are_half_of_those_that_drive(tmp_path: Path):
    policy = load_policy("pretrained:lake")
    full = policy.save(tmp_path / "policy") / "policy.safetensors"
    half = PRETRAINED / "lake" / "policy.safetensors"
    assert half.stat().st_size < 0.55 * full.stat().st_size
    copy = shutil.copytree(PRETRAINED / "lake", tmp_path / "copy")
    description = json.loads((copy / "policy.json").read_text())
    assert description["network"] == "PilotNet"


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_each_drives_a_lap_of_its_track_without_help(name: str):
    policy = load_policy(name)
    with gymnasium.make("UdacitySim-v0", track=name.partition(":")[2]) as env:
        evaluation = evaluate(policy, env, 1)
    assert evaluation.interventions == 0
    assert evaluation.complete
