"""Policies as files that need nothing of this package: they do what the policy does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from algorithms import NetworkPolicy, Preprocessing
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.export import TOLERANCE, ExportError, ImagesToActions, _test_images, export
from algorithms.policies.losses import Classes, Gaussian, Huber, Loss
from algorithms.policies.networks import make_network
from algorithms.policies.preprocessing import COLORS
from udacity_gym.cli import main
from udacity_gym.driving.chunks import Chunks
from udacity_gym.driving.onnx_policy import KEY, PROVIDERS, OnnxPolicy
from udacity_gym.driving.policy_inputs import ObservationError
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.evaluation import evaluate
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.files import digest_of
from udacity_gym.recording import open_recording

# TorchScript still works, and is still what C++ loads.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def make_policy(preprocessing: Preprocessing | None = None, steers_only: bool = False) -> NetworkPolicy:
    """A policy whose answers differ from image to image."""
    network = make_network("PilotNet", 1 if steers_only else 2, seed=1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1.8 if weights.ndim > 1 else 1.0)
    if steers_only:
        return NetworkPolicy(network, preprocessing or Preprocessing(), ("steering",), 8.5)
    return NetworkPolicy(network, preprocessing or Preprocessing())


@pytest.fixture(scope="module")
def policy() -> NetworkPolicy:
    return make_policy()


@pytest.fixture(scope="module")
def exported(policy: NetworkPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    policy.save(folder / "policy")
    assert main(["export", str(folder / "policy"), "--output", str(folder / "model.onnx")]) == 0
    return folder / "model.onnx"


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize(("interpolation", "most", "share"), [("auto", 1, 0.003), ("linear", 2, 0.2)])
@pytest.mark.parametrize("size", [(66, 200), (64, 64), (75, 320)])
def test_the_preparation_in_a_model_is_that_of_opencv_but_for_rounding(
    color: str, interpolation: str, most: int, share: float, size: tuple[int, int]
) -> None:
    preprocessing = Preprocessing(size=size, color=color, interpolation=interpolation, scale=1.0, offset=0.0)
    model = ImagesToActions(NetworkPolicy(torch.nn.Identity(), preprocessing))
    for images in _test_images((160, 320)):
        prepared = model.prepare(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy()
        difference = np.abs(prepared - preprocessing.prepare_batch(images))
        # A change of the luma by one moves the chroma by one more.
        assert difference.max() <= most + (color != "rgb")
        assert (difference > 0).mean() <= share
        if size == (75, 320):
            assert difference.max() == 0


def test_red_is_not_blue_in_yuv_before_opencv_3_2() -> None:
    red = np.zeros((1, 160, 320, 3), np.uint8)
    red[..., 0] = 255
    swapped = red[..., ::-1].copy()
    old, new = Preprocessing(color="yuv_before_3.2"), Preprocessing(color="yuv")
    np.testing.assert_array_equal(old.prepare_batch(red), new.prepare_batch(swapped))
    assert (old.prepare_batch(red) != new.prepare_batch(red)).any()


def test_onnx_does_what_the_policy_does_on_real_images(
    policy: NetworkPolicy, exported: Path, lake_recording: Path
) -> None:
    episode = open_recording(lake_recording).episodes[0]
    images = np.stack([episode.image("center", i) for i in range(0, 200, 10)])
    again = OnnxPolicy(exported)
    wanted, action = policy.predict(images)[0], again.predict(images)[0]
    assert np.ptp(wanted, axis=0).min() > 0.05
    np.testing.assert_allclose(action, wanted, atol=1e-3)
    single, state = again.predict({"center": images[3], "left": images[4]})
    assert single.shape == (2,)
    assert single.dtype == np.float32
    assert state is None
    np.testing.assert_allclose(single, wanted[3], atol=1e-3)


def test_what_is_exported_knows_how_it_wants_to_be_driven(exported: Path, tmp_path: Path) -> None:
    again = OnnxPolicy(exported)
    assert (again.actions, again.target_speed) == (("steering", "throttle"), None)
    assert identity_of(again) == digest_of(exported)
    make_policy(steers_only=True).export(tmp_path / "steers.pt")
    about: dict[str, Any] = {KEY: ""}
    torch.jit.load(str(tmp_path / "steers.pt"), _extra_files=about)
    assert json.loads(about[KEY])["target_speed"] == 8.5


def test_torchscript_does_what_the_policy_does(policy: NetworkPolicy, tmp_path: Path) -> None:
    assert export(policy, tmp_path / "model.pt").difference < 1e-3
    script = torch.jit.load(str(tmp_path / "model.pt"))
    for images in _test_images((160, 320)):
        action = script(torch.from_numpy(images))[0].numpy()
        np.testing.assert_allclose(action, policy.predict(images)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "loss", "suffix"),
    [
        ("PilotNet", Classes(), ".pt"),
        ("PilotNet", Classes(), ".onnx"),
        ("PilotLSTM", Gaussian(), ".onnx"),
        ("SmallResNet", Huber(), ".pt"),
    ],
)
def test_speed_memory_and_losses_are_exported_too(name: str, loss: Loss, suffix: str, tmp_path: Path) -> None:
    network = make_network(name, 2 * loss.width, seed=2, frames=3, measurements=1)
    policy = NetworkPolicy(network, Preprocessing(), loss=loss, inputs=("speed",), past_frames=2)
    assert export(policy, tmp_path / f"model{suffix}").difference < 1e-3
    if suffix == ".pt":
        return
    driver = OnnxPolicy(tmp_path / "model.onnx")
    assert (driver.inputs, driver.past_frames) == (("speed",), 2)
    rng = np.random.default_rng(0)
    states: list[Any] = [None, None]
    for step in range(5):
        start = np.array([step == 0, step == 3])  # the second car's episode begins anew
        seen = {
            "center": rng.integers(0, 256, (2, 160, 320, 3), np.uint8),
            "speed": rng.uniform(0, 12, (2, 1)).astype(np.float32),
        }
        wanted, states[0] = policy.predict(seen, states[0], start)
        action, states[1] = driver.predict(seen, states[1], start)
        np.testing.assert_allclose(action, wanted, atol=1e-3)
    with pytest.raises(ObservationError, match="2 images, but 1 numbers of speed"):
        driver.predict({**seen, "speed": np.zeros((1, 1), np.float32)}, states[1])
    with pytest.raises(ObservationError, match="begin with state=None"):
        driver.predict({"center": seen["center"][0], "speed": seen["speed"][0]}, states[1])


@pytest.mark.parametrize(
    ("cameras", "chunks"),
    [
        (("left", "center"), Chunks(4)),
        (("center",), Chunks(4, action_steps=3)),
        (("right", "center", "left"), Chunks(3, ensemble_decay=None)),
    ],
    ids=repr,
)
def test_cameras_and_chunks_are_exported(cameras: tuple[str, ...], chunks: Chunks, tmp_path: Path) -> None:
    """With past images, too; and two cars side by side, whose episodes begin at different times."""
    network = make_network("PilotNet", 2 * chunks.size, seed=3, frames=2, cameras=len(cameras))
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1.8 if weights.ndim > 1 else 1.0)
    policy = NetworkPolicy(network, Preprocessing(), cameras=cameras, past_frames=1, chunks=chunks)
    assert policy.export(tmp_path / "model.onnx").difference < 2e-3
    driver = OnnxPolicy(tmp_path / "model.onnx")
    assert (driver.cameras, driver.chunks) == (cameras, chunks)
    rng = np.random.default_rng(0)
    states: list[Any] = [None, None]
    for step in range(7):
        start = np.array([step == 0, step == 3])
        seen = {name: rng.integers(0, 256, (2, 160, 320, 3), np.uint8) for name in cameras}
        expected, states[0] = policy.predict(seen, states[0], start)
        action, states[1] = driver.predict(seen, states[1], start)
        assert action.dtype == np.float32
        np.testing.assert_allclose(action, expected, atol=2e-3)
    with pytest.raises(ObservationError, match="begin with state=None"):
        driver.predict({name: images[0] for name, images in seen.items()}, states[1])


def test_act_is_exported(tmp_path: Path) -> None:
    network = make_network("ACT", 2 * 4, seed=3, cameras=3, steps=4, measurements=1)
    cameras = ("left", "center", "right")
    policy = NetworkPolicy(network, Preprocessing(), cameras=cameras, inputs=("speed",), chunks=Chunks(4))
    assert policy.export(tmp_path / "model.onnx").difference < 2e-3
    assert policy.export(tmp_path / "model.pt").difference < 2e-3


def test_what_can_not_be_exported_says_why(tmp_path: Path) -> None:
    network = make_network("PilotNet", 4, seed=3)
    member = NetworkPolicy(network, Preprocessing(), chunks=Chunks(2))
    with pytest.raises(OptionError, match="members average chunks of actions each on its own; export them"):
        Ensemble([member, member]).export(tmp_path / "model.onnx")
    network = make_network("PilotNet", 2, seed=3, cameras=2)
    rear = NetworkPolicy(network, Preprocessing(), cameras=("center", "rear"))
    with pytest.raises(OptionError, match="among center, left, right; it has rear"):
        rear.export(tmp_path / "model.onnx")


def test_an_exported_policy_says_where_it_can_compute(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = OnnxPolicy(exported)
    assert policy.to("auto", "float32").to("cpu").to().device == "cpu"
    with pytest.raises(OptionError, match=r"device='cuda' is not available.*auto, cpu; .* onnxruntime-gpu"):
        policy.to("cuda")
    with pytest.raises(OptionError, match="computes in float32; load the checkpoint"):
        policy.to(precision="bfloat16")
    # A build for GPUs where there is none: onnxruntime then computes on the CPU.
    available = [PROVIDERS["cpu"], PROVIDERS["cuda"]]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(OptionError, match="no GPU"):
        policy.to("cuda")
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        assert policy.to("auto").device == "cpu"


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_an_ensemble_is_exported_as_the_mean_of_its_members(suffix: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"inputs": ("speed",), "past_frames": 1}
    members = [
        NetworkPolicy(
            make_network("PilotNet", 2 * loss.width, seed, frames=2, measurements=1),
            Preprocessing(),
            loss=loss,
            **options,
        )
        for seed, loss in enumerate((Huber(), Huber(), Gaussian()))
    ]
    for member in members:
        with torch.no_grad():
            for weights in member.network.parameters():
                weights.mul_(1.8 if weights.ndim > 1 else 1.0)
    ensemble = Ensemble(members)
    ensemble.save(tmp_path / "policy")
    path = tmp_path / f"model{suffix}"
    assert main(["export", str(tmp_path / "policy"), "--output", str(path)]) == 0
    seen = _test_images((160, 320))[2]
    speed, begins = np.full((8, 1), 5.0, np.float32), np.ones(8, np.bool_)
    every, _ = ensemble.predict_all({"center": seen, "speed": speed})
    assert every.std(axis=0).max() > 0.1  # one of them alone would be noticed
    if suffix == ".onnx":
        driver = OnnxPolicy(path)
        found, _ = driver.predict({"center": seen, "speed": speed})
        assert driver.name == "Ensemble"
    else:
        past = np.zeros((8, 1, 66, 200, 3), np.uint8)
        given = {"image": seen, "measurements": speed, "past": past, "begins": begins}
        found = torch.jit.load(path)(**{name: torch.from_numpy(value) for name, value in given.items()})[0]
    np.testing.assert_allclose(found, every.mean(axis=0), atol=1e-3)


def test_what_is_no_network_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    differing = Ensemble([make_policy(), make_policy(Preprocessing(crop=(50, 140)))])
    with pytest.raises(OptionError, match="same preprocessing"):
        differing.export(tmp_path / "model.pt")
    assert main(["export", "pid", "--output", str(tmp_path / "model.pt")]) != 0
    assert "only networks can" in capsys.readouterr().err


def test_an_export_that_does_something_else_is_not_kept(tmp_path: Path) -> None:
    class Moody(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3)).reshape(-1, 1).repeat(1, 2) * (2.0 if len(images) == 2 else 1.0)

    moody = NetworkPolicy(Moody(), Preprocessing(scale=1 / 255, offset=0.0))
    with pytest.raises(ExportError, match="differ"):
        export(moody, tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []
    assert TOLERANCE < 0.1
    with pytest.raises(OptionError, match=r"\.onnx"):
        export(moody, tmp_path / "model.h5")


def test_driving_with_onnx_imports_no_torch(exported: Path, tmp_path: Path) -> None:
    arguments = ["drive", str(exported), "--output", str(tmp_path / "drive.webm"), "--max-seconds", "2"]
    code = (
        "import sys; sys.modules['torch'] = None; from udacity_gym.cli import main; "
        f"code = main({arguments!r}); assert code == 0, code; assert 'algorithms' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "drive.webm").stat().st_size > 1000


def test_an_onnx_file_drives_as_the_policy_drives(policy: NetworkPolicy, exported: Path) -> None:
    import gymnasium as gym

    ways = [
        evaluate(driver, gym.make("UdacitySim-v0"), 1, max_seconds=3.0).trajectory
        for driver in (policy, OnnxPolicy(exported))
    ]
    np.testing.assert_allclose(ways[0].x, ways[1].x, atol=0.01)
    np.testing.assert_allclose(ways[0].y, ways[1].y, atol=0.01)


def test_what_is_no_exported_policy_is_refused_with_the_reason(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        OnnxPolicy(tmp_path / "none.onnx")
    (tmp_path / "half.onnx").write_bytes(exported.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged"):
        OnnxPolicy(tmp_path / "half.onnx")
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match="udacity-gym export"):
        OnnxPolicy(tmp_path / "other.onnx")
    with pytest.raises(ObservationError, match="whole image"):
        OnnxPolicy(exported).predict(cv2.resize(np.zeros((160, 320, 3), np.uint8), (200, 66)))
