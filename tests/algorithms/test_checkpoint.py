"""Checkpoints that are whole or refused."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from simple_road import road_image

from algorithms import Ensemble, NetworkPolicy, PilotNet, Preprocessing, load_policy
from algorithms.policies.checkpoint import read_checkpoint, write_checkpoint
from udacity_gym.driving import PIThrottle
from udacity_gym.errors import CheckpointError, OptionError


@pytest.fixture
def policy() -> NetworkPolicy:
    torch.manual_seed(0)
    return NetworkPolicy(
        PilotNet(1), Preprocessing(crop=(50, 140)), ("steering",), 11.5, training={"settings": {"epochs": 3}}
    )


@pytest.fixture
def checkpoint(policy: NetworkPolicy, tmp_path: Path) -> Path:
    return policy.save(tmp_path / "runs" / "policy")


def test_a_loaded_policy_drives_like_the_saved_one(policy: NetworkPolicy, checkpoint: Path) -> None:
    loaded = load_policy(checkpoint)
    image = road_image(0.3)
    np.testing.assert_array_equal(loaded.predict(image)[0], policy.predict(image)[0])
    assert loaded.actions == ("steering",)
    assert loaded.target_speed == 11.5
    assert isinstance(loaded, NetworkPolicy)
    assert loaded.preprocessing == policy.preprocessing
    assert loaded.training == {"settings": {"epochs": 3}}


def test_the_description_says_what_inference_needs(checkpoint: Path) -> None:
    description = json.loads((checkpoint / "policy.json").read_text())
    assert description["network"] == "PilotNet"
    assert description["actions"] == {"steering": "[-1, 1] share of full lock, positive turns right"}
    assert description["preprocessing"]["crop"] == [50, 140]
    assert description["preprocessing"]["color"] == "yuv"
    assert description["target_speed"] == 11.5


def test_an_older_checkpoint_is_replaced(policy: NetworkPolicy, checkpoint: Path) -> None:
    policy.target_speed = 9.0
    policy.save(checkpoint)
    assert load_policy(checkpoint).target_speed == 9.0
    assert [path.name for path in checkpoint.parent.iterdir()] == ["policy"]  # nothing is left over


def test_a_throttle_law_is_saved_with_the_policy_and_shared_by_an_ensemble(tmp_path: Path) -> None:
    law = PIThrottle(8.0, coast_steering=0.5)
    policy = NetworkPolicy(PilotNet(1), Preprocessing(), ("steering",), throttle_law=law)
    loaded = load_policy(policy.save(tmp_path / "policy"))
    assert loaded.throttle_law == law
    assert loaded.target_speed is None
    assert Ensemble([policy, loaded]).throttle_law == law
    with pytest.raises(OptionError, match="the same throttle_law"):
        Ensemble(
            [policy, NetworkPolicy(PilotNet(1), Preprocessing(), ("steering",), throttle_law=PIThrottle(9))]
        )
    with pytest.raises(OptionError, match="a throttle law with actions"):
        NetworkPolicy(PilotNet(2), Preprocessing(), throttle_law=law)
    path = tmp_path / "policy" / "policy.json"
    path.write_text(path.read_text().replace('"law": "pi"', '"law": "pid"'))
    with pytest.raises(CheckpointError, match="one of constant, pi"):
        load_policy(tmp_path / "policy")


def test_a_folder_with_something_else_is_left_alone(policy: NetworkPolicy, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.txt.*another folder"):
        policy.save(tmp_path)
    with pytest.raises(CheckpointError, match="a file"):
        policy.save(tmp_path / "thesis.txt")
    with pytest.raises(CheckpointError, match="can't be written"):
        policy.save(tmp_path / "thesis.txt" / "policy")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


class Trap:
    """Interrupts a save before or after its n-th change to the disk."""

    def __init__(
        self, patch: pytest.MonkeyPatch, moment: int, error: type[BaseException], late: bool
    ) -> None:
        self.changes, self.moment, self.error, self.late = 0, moment, error, late
        for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
            patch.setattr(owner, name, self._trapped(getattr(owner, name)))

    def _trapped(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*args: Any, **options: Any) -> Any:
            self.changes += 1
            hit = self.changes == self.moment
            if hit and not self.late:
                raise self.error
            change(*args, **options)
            if hit:
                raise self.error

        return trapped


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_save_interrupted_at_any_moment_leaves_the_old_checkpoint_or_the_new_one(
    policy: NetworkPolicy,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    late: bool,
) -> None:
    image = road_image(0.3)
    steering = {11.5: float(policy.predict(image)[0][0])}
    seen = set()
    for moment in range(1, 99):
        speed = float(moment)
        with torch.no_grad():
            list(policy.network.parameters())[-1].add_(0.01)
        policy.target_speed = speed
        steering[speed] = float(policy.predict(image)[0][0])
        before = load_policy(checkpoint).target_speed
        with monkeypatch.context() as patch:
            trap = Trap(patch, moment, error, late)
            with contextlib.suppress(error, CheckpointError):
                policy.save(checkpoint)
        loaded = load_policy(checkpoint)
        assert loaded.target_speed in (before, speed)
        assert loaded.target_speed is not None
        assert loaded.predict(image)[0][0] == pytest.approx(steering[loaded.target_speed], abs=1e-7)
        seen.add(loaded.target_speed == speed)
        if trap.changes < moment:
            break
    assert moment > 6
    assert seen == {False, True}
    policy.save(checkpoint)
    assert sorted(path.name for path in checkpoint.iterdir()) == ["policy.json", "policy.safetensors"]


def test_saving_the_same_weights_again_after_an_interruption_is_safe(
    policy: NetworkPolicy, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        list(policy.network.parameters())[-1].add_(0.1)
    for moment in (7, *range(1, 10)):  # the first leaves the new weights under their waiting name
        with monkeypatch.context() as patch:
            Trap(patch, moment, KeyboardInterrupt, late=False)
            with contextlib.suppress(KeyboardInterrupt):
                policy.save(checkpoint)
        load_policy(checkpoint)


def test_a_first_save_that_fails_is_no_checkpoint(
    policy: NetworkPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Trap(patch, 1, OSError, late=False)
        with pytest.raises(CheckpointError, match="can't be written"):
            policy.save(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(CheckpointError, match=r"no policy\.json"):
        load_policy(tmp_path / "new")
    assert load_policy(policy.save(tmp_path / "new")).target_speed == 11.5


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])

    return damage


def describe(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "policy.json"
        data = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in data.items() if value != "gone"}))

    return damage


def prepare(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        preprocessing = json.loads((folder / "policy.json").read_text())["preprocessing"]
        describe(preprocessing={**preprocessing, **changes})(folder)

    return damage


def flip_a_bit(folder: Path) -> None:
    path = folder / "policy.safetensors"
    weights = bytearray(path.read_bytes())
    weights[-1] ^= 1
    path.write_bytes(weights)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("policy.json"), r"no policy\.json"),
        (remove("policy.safetensors"), r"no policy\.safetensors"),
        (cut("policy.json"), "corrupt"),
        (cut("policy.safetensors"), "corrupt"),
        (flip_a_bit, "corrupt"),
        (describe(format="something"), "belongs to something else"),
        (describe(version=99), "version 99"),
        (describe(network="AlexNet"), "AlexNet"),
        (describe(network="gone"), "'network' is missing"),
        (describe(network=None), "network=None"),
        (describe(preprocessing=7), "preprocessing=7"),
        (describe(preprocessing={"crop": [0, 1]}), "preprocessing"),
        (prepare(size=[10, 10]), "preprocessing.size"),
        (prepare(crop=[140, 50]), "crop"),
        (prepare(scale=float("nan")), "scale=nan"),
        (prepare(camera_size="big"), "camera_size='big'"),
        (describe(actions={"steering": "", "throttle": ""}, target_speed=None), "another network: head.6"),
        (describe(actions={"throttle": "", "steering": ""}, target_speed=None), "actions"),
        (describe(actions=["steering", "steering"]), "actions"),
        (describe(actions={"fly": ""}), "fly"),
        (describe(actions={}), "actions"),
        (describe(target_speed="fast"), "target_speed='fast'"),
        (describe(target_speed=float("nan")), "target_speed=nan"),
        (describe(target_speed=-3.0), "target_speed=-3.0"),
        (describe(target_speed=None), "target_speed=None with"),
        (describe(training=None), "training=None"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    checkpoint: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(checkpoint)
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint)


def test_weights_of_another_network_are_named(checkpoint: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoint / "policy.safetensors")
    weights["features.99.weight"] = weights.pop("features.0.weight")
    description = json.loads((checkpoint / "policy.json").read_text())
    write_checkpoint(tmp_path / "other", "policy", weights, description)
    with pytest.raises(CheckpointError, match=r"features\.0\.weight is missing"):
        load_policy(tmp_path / "other")


def test_a_folder_that_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        load_policy(tmp_path / "nowhere")
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(CheckpointError, match=r"no policy\.json; it has \['holiday\.jpg'\]"):
        load_policy(tmp_path)


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "x", "policy", {"a": torch.zeros(2)}, {"format": "f", "version": 1})
    save_file({"a": torch.ones(2)}, tmp_path / "x" / "policy.safetensors")
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_checkpoint(tmp_path / "x", "policy", "f", (1,))
