"""Policies, recordings and the environment on a server that stands in for the Hugging Face Hub."""

import importlib
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from algorithms import Ensemble, NetworkPolicy, Preprocessing, load_policy, make_network
from algorithms.base import Policy
from tests.udacity_gym.hub_server import Hub, hub
from udacity_gym.cli import main
from udacity_gym.driving import as_driver
from udacity_gym.driving.loading import policy_path
from udacity_gym.errors import CheckpointError, MissingDependencyError
from udacity_gym.experts import PurePursuit
from udacity_gym.hub import HubError, push_env, push_policy, push_recording
from udacity_gym.installation import install_command
from udacity_gym.lerobot import make_env
from udacity_gym.recording import Recording, record

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason=f"no huggingface_hub: {install_command('hub')}"
)
IMAGE = np.random.default_rng(0).integers(0, 256, (160, 320, 3), np.uint8)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub() as running:
        constants = importlib.import_module("huggingface_hub.constants")
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", running.token)
        yield running


@pytest.fixture(scope="module")
def policy() -> NetworkPolicy:
    return NetworkPolicy(make_network("PilotNet", 1), Preprocessing(), ("steering",), 10.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    env = gymnasium.make("UdacitySim-v0", image_size=(40, 80))
    made = record(env, PurePursuit(), tmp_path_factory.mktemp("laps"), seconds=1.0)
    env.close()
    return made


def test_a_policy_comes_back_from_the_hub_as_it_went(server: Hub, policy: NetworkPolicy):
    url = policy.push_to_hub("me/pilot", results="3 laps, no interventions")
    assert url == f"{server.url}/me/pilot"
    files = server.repositories["models/me/pilot"]
    assert set(files) == {"policy.json", "policy.safetensors", "README.md"}
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: udacity-gym\n")
    assert 'load_policy("hf:me/pilot")' in card
    assert "3 laps, no interventions" in card
    for loaded in (load_policy("hf:me/pilot"), Policy.from_pretrained("me/pilot@main")):
        np.testing.assert_array_equal(loaded.predict(IMAGE)[0], policy.predict(IMAGE)[0])
    assert as_driver("hf:me/pilot") is not None


def test_the_metadata_of_cards_is_what_the_hub_reads(
    server: Hub, policy: NetworkPolicy, recording: Recording
):
    pytest.importorskip("pyarrow", reason=f"no pyarrow: {install_command('convert')}")
    policy.push_to_hub("me/pilot")
    push_recording(recording, "me/laps")
    push_recording(recording, "me/rows", format="huggingface")
    model = huggingface_hub.ModelCard(server.repositories["models/me/pilot"]["README.md"].decode())
    assert model.data.license == "mit"
    assert "imitation-learning" in model.data.tags
    lerobot = huggingface_hub.DatasetCard(server.repositories["datasets/me/laps"]["README.md"].decode())
    assert lerobot.data.task_categories == ["robotics"]
    assert "LeRobot" in lerobot.data.tags
    rows = huggingface_hub.DatasetCard(server.repositories["datasets/me/rows"]["README.md"].decode())
    assert rows.data.configs[0]["data_files"] == "*.parquet"


def test_a_recording_is_uploaded_as_a_data_set(server: Hub, recording: Recording):
    parquet = pytest.importorskip("pyarrow.parquet", reason=f"no pyarrow: {install_command('convert')}")
    assert push_recording(recording, "me/laps") == f"{server.url}/datasets/me/laps"
    files = server.repositories["datasets/me/laps"]
    assert "meta/info.json" in files
    (data,) = (files[name] for name in files if re.match(r"data/.*\.parquet", name))
    assert parquet.read_table(io.BytesIO(data)).num_rows == len(recording)


def test_errors_of_the_hub_say_what_to_do(server: Hub, policy: NetworkPolicy, monkeypatch, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no policy hf:me/nothing"):
        load_policy("hf:me/nothing")
    with pytest.raises(CheckpointError, match=r"no policy\.json"):
        push_policy(tmp_path, "me/nothing")
    push_env("me/car")
    with pytest.raises(CheckpointError, match="is no policy of udacity-gym"):
        policy_path("hf:me/car")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="hf auth login"):
        policy.push_to_hub("me/pilot")


def test_a_hub_that_does_not_answer_is_an_error_of_the_hub(server: Hub, policy: NetworkPolicy):
    server.shutdown()
    server.server_close()
    with pytest.raises(HubError, match=r"me/pilot can't be uploaded.*check the name and the network"):
        policy.push_to_hub("me/pilot")


def test_the_command_shares_policies_recordings_and_the_environment(
    server: Hub,
    policy: NetworkPolicy,
    recording: Recording,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    pytest.importorskip("pyarrow", reason=f"no pyarrow: {install_command('convert')}")
    policy.save(tmp_path / "training" / "policy")
    assert main(["hub", "push-policy", str(tmp_path / "training"), "me/pilot"]) == 0
    assert main(["hub", "push-recording", str(recording.path), "me/laps"]) == 0
    assert main(["hub", "push-env", "me/car"]) == 0
    urls = [line for line in capsys.readouterr().out.splitlines() if line.startswith("http")]
    assert urls == [f"{server.url}/{name}" for name in ("me/pilot", "datasets/me/laps", "me/car")]


def test_without_huggingface_hub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=re.escape(install_command("hub"))):
        policy_path("hf:me/pilot")


def test_the_environment_of_the_hub_is_what_lerobot_calls(server: Hub, tmp_path: Path):
    push_env("me/car")
    files = server.repositories["models/me/car"]
    path = tmp_path / "env.py"
    path.write_bytes(files["env.py"])
    spec = importlib.util.spec_from_file_location("hub_env", path)  # as LeRobot imports it
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.make_env is make_env


def test_two_cars_for_lerobot_drive_a_lap():
    envs = make_env(n_envs=2, track="lake", image_size=(20, 40), cameras=("center", "left"), max_seconds=1.0)
    cars = envs["udacity"][0]
    observation, info = cars.reset(seed=0)
    assert observation["pixels"]["left"].shape == (2, 20, 40, 3)
    assert observation["agent_pos"].shape == (2, 1)
    for _ in range(5):
        observation, _, *_, info = cars.step(np.array([[0.1, 1.0, 0.0], [0.1, 1.0, 1.0]], np.float32))
    assert not info["is_success"].any()
    assert observation["agent_pos"][0] > observation["agent_pos"][1]
    assert cars.call("task") == ("drive along the road",) * 2
    assert cars.call("_max_episode_steps")[0] > 1000
    cars.close()


def test_the_card_of_an_ensemble_counts_its_members(
    server: Hub, policy: NetworkPolicy, tmp_path: Path
) -> None:
    Ensemble([policy, policy]).save(tmp_path / "two")
    push_policy(tmp_path / "two", "me/two")
    card = server.repositories["models/me/two"]["README.md"].decode()
    assert "- Network: an ensemble of 2" in card
