"""Devices and precisions, tested with those of every machine: the CPU, and torch's "meta" device of
shapes."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from simple_road import road_image
from torch import nn

from algorithms import (
    BehavioralCloning,
    Ensemble,
    Frames,
    NetworkPolicy,
    PilotNet,
    Preprocessing,
    Training,
    TrainingConfig,
    load_policy,
)
from algorithms.policies import device as devices
from algorithms.policies.device import (
    autocast,
    check_precision,
    describe_device,
    find_device,
    has_fast_bfloat16,
    quickest_precision,
    torch_threads,
)
from algorithms.policies.networks import NETWORKS
from algorithms.training.trainer import Epoch
from algorithms.training.training_set import TrainingSet
from udacity_gym.cli import main
from udacity_gym.cockpit.desk import Desk
from udacity_gym.cockpit.session import Session
from udacity_gym.cockpit.workspace import Workspace
from udacity_gym.driving import load_driver, load_policy as load_any_policy
from udacity_gym.errors import OptionError
from udacity_gym.evaluation import SUITES, Suite, scenarios
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.experts import PurePursuit
from udacity_gym.files import digest_of
from udacity_gym.recording import open_recording

QUICK: dict[str, Any] = {"epochs": 2, "steps_per_epoch": 3, "batch_size": 8, "threads": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


def weights_of(policy: NetworkPolicy) -> np.ndarray[Any, Any]:
    return np.concatenate([value.numpy().ravel() for value in policy.network.state_dict().values()])


def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_the_best_device_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gpu(monkeypatch)
    assert find_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("auto") == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(OptionError, match="there are 2, numbered from 0"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_trained(
    name: str, monkeypatch: pytest.MonkeyPatch, road_recording: Path, tmp_path: Path
) -> None:
    no_gpu(monkeypatch)
    with pytest.raises(OptionError, match=f"device='{name}' is not available"):
        BehavioralCloning(road_recording, device=name, folder=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", 3.5, None, "xla"])
def test_a_device_that_torch_does_not_know_is_refused(name: Any) -> None:
    with pytest.raises(OptionError, match=r"^device="):
        TrainingConfig(device=name)


def test_a_precision_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"^precision="):
        TrainingConfig(precision="float16")  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GeForce GTX 1080")
    with pytest.raises(OptionError, match="not available on GeForce GTX 1080; take float32"):
        check_precision(torch.device("cuda"), "bfloat16")


def test_bfloat16_computes_in_bfloat16_and_keeps_its_weights_in_float32(frames: Frames) -> None:
    dtypes: dict[str, torch.dtype] = {}

    class Watched(PilotNet):
        def __init__(self, outputs: int) -> None:
            super().__init__(outputs)
            for name in ("features", "head"):
                layer = getattr(self, name)[-1 if name == "head" else 0]
                layer.register_forward_hook(
                    lambda _layer, _inputs, out, name=name: dtypes.update({name: out.dtype})
                )

    policy = Training(TrainingConfig(**QUICK, precision="bfloat16", network=Watched), frames).run()
    assert dtypes == {"features": torch.bfloat16, "head": torch.bfloat16}
    assert {value.dtype for value in policy.network.parameters()} == {torch.float32}
    policy.predict(road_image(0.0))
    assert dtypes == {"features": torch.float32, "head": torch.float32}  # driving is in float32
    assert policy.to(precision="bfloat16").predict(road_image(0.0))[0].dtype == np.float32
    assert dtypes == {"features": torch.bfloat16, "head": torch.bfloat16}


def test_bfloat16_learns_nearly_what_float32_learns(frames: Frames) -> None:
    images = np.stack([road_image(offset) for offset in np.linspace(-1, 1, 5).tolist()])
    first, second = (
        Training(TrainingConfig(**{**QUICK, "steps_per_epoch": 8}, precision=precision), frames).run()
        for precision in ("float32", "bfloat16")
    )
    difference = np.abs(first.predict(images)[0] - second.predict(images)[0])
    assert 0 < difference.max() < 0.05


def test_bfloat16_repeats_itself_and_resumes(frames: Frames, tmp_path: Path) -> None:
    def interrupt(_: Epoch) -> None:
        raise KeyboardInterrupt

    config = TrainingConfig(**QUICK, precision="bfloat16")
    whole = Training(config, frames).run()
    with pytest.raises(KeyboardInterrupt):
        Training(config, frames, folder=tmp_path).run(after_epoch=interrupt)
    np.testing.assert_array_equal(
        weights_of(Training(config, frames, folder=tmp_path).run()), weights_of(whole)
    )


def test_the_checkpoint_and_the_log_name_the_device(frames: Frames, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Training(TrainingConfig(**QUICK, precision="bfloat16"), frames, folder=tmp_path).run()
    loaded = load_policy(tmp_path)
    assert isinstance(loaded, NetworkPolicy)
    assert loaded.training["device"] == describe_device(torch.device("cpu"))
    assert loaded.training["settings"]["precision"] == "bfloat16"
    assert (loaded.device, loaded.precision) == (torch.device("cpu"), "float32")
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    (written,) = log.Tensors("device/text_summary")
    assert "bfloat16, 2 parts of a batch in parallel" in written.tensor_proto.string_val[0].decode()


def test_training_goes_on_on_another_device_but_not_in_another_precision(
    frames: Frames, tmp_path: Path
) -> None:
    Training(TrainingConfig(**QUICK), frames, folder=tmp_path).run()
    Training(TrainingConfig(**{**QUICK, "device": "auto"}), frames, folder=tmp_path).run()
    with pytest.raises(Exception, match="precision='float32' was begun here"):
        Training(TrainingConfig(**QUICK, precision="bfloat16"), frames, folder=tmp_path).run()


@pytest.mark.parametrize("name", sorted(NETWORKS.objects))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", ["huber", "classes", "gmm"])
def test_everything_that_a_loss_computes_with_is_on_the_policys_device(
    name: str, precision: Any, loss: str, frames: Frames
) -> None:
    """On "meta", torch refuses to mix tensors of two devices, as it does on a GPU."""
    config = TrainingConfig(
        network=name, precision=precision, loss=loss, inputs=("speed",), past_frames=1, chunk_size=3
    )
    policy = NetworkPolicy.from_config(config).to("meta", precision)
    batch = TrainingSet(frames, config).recorded_batch(np.arange(2)).to(policy.device)
    policy.network.train()
    value, metrics = policy.loss(batch)
    assert value.device.type == "meta"
    assert (value.shape, value.dtype) == ((), torch.float32)
    value.backward()  # type: ignore[no-untyped-call]
    used = {name: value.grad for name, value in policy.network.named_parameters()}
    assert all(gradient is not None and gradient.device.type == "meta" for gradient in used.values())
    assert {metric.device.type for metric in metrics.values()} == {"meta"}


def test_a_checkpoint_is_loaded_where_it_is_wanted(tmp_path: Path) -> None:
    folder = NetworkPolicy(PilotNet(2), Preprocessing()).save(tmp_path / "policy")
    moved = load_policy(folder, device="meta", precision="bfloat16")
    assert isinstance(moved, NetworkPolicy)
    assert {value.device.type for value in moved.network.parameters()} == {"meta"}
    assert "device='meta'" in repr(moved)
    ensemble = Ensemble([load_policy(folder), load_policy(folder)])
    again = load_policy(ensemble.save(tmp_path / "ensemble"), precision="bfloat16")
    assert isinstance(again, Ensemble)
    assert [member.precision for member in again.members] == ["bfloat16"] * 2  # type: ignore[attr-defined]
    assert ensemble.to(precision="bfloat16").members[0].precision == "bfloat16"  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="device='tpu'"):
        load_policy(folder, device="tpu")


def test_a_policy_of_any_loader_is_moved_where_it_is_wanted(tmp_path: Path) -> None:
    """Without torch in udacity_gym: what can move has `to`, and what can't is refused, not ignored."""
    folder = NetworkPolicy(PilotNet(2), Preprocessing()).save(tmp_path / "policy")
    for load in (load_any_policy, load_driver):
        moved = load(folder, device="meta", precision="bfloat16")
        assert (moved.device.type, moved.precision) == ("meta", "bfloat16")
        assert (load(folder).device.type, load(folder).precision) == ("cpu", "float32")
    assert isinstance(load_driver("pure_pursuit", device="cuda"), PurePursuit)  # it computes on none


def test_a_policy_that_can_not_move_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from udacity_gym.driving import loading

    path = tmp_path / "forest"
    path.touch()
    monkeypatch.setattr(loading, "_load", lambda path: object())
    load_any_policy(path)
    with pytest.raises(OptionError, match="forest: object has no choice of device"):
        load_any_policy(path, device="cpu")


@pytest.mark.parametrize(
    "words",
    [
        ["drive", "POLICY", "--output", "drive.webm"],
        ["record", "recording", "--expert", "POLICY"],
        ["evaluate", "POLICY", "--output", "evaluation"],
        ["evaluate", "POLICY", "--suite", "lake-v1", "--output", "suite"],
    ],
    ids=" ".join,
)
def test_every_verb_that_drives_takes_the_device(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_gpu(monkeypatch)
    monkeypatch.chdir(tmp_path)
    folder = NetworkPolicy(PilotNet(2), Preprocessing()).save(tmp_path / "policy")
    command = [str(folder) if word == "POLICY" else word for word in words]
    assert main([*command, "--device", "cuda", "--precision", "bfloat16"]) == 2
    assert "device='cuda' is not available: torch finds no GPU" in capsys.readouterr().err.replace(
        "this build of torch is for CPUs only", "torch finds no GPU"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_drives_in_another_precision_are_not_taken_for_the_same_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither from a folder with files, nor in Python."""
    blink = Suite("blink-v1", scenarios(), seeds=(0,), max_seconds=0.2)
    monkeypatch.setattr(SUITES, "find", lambda name: blink)
    policy = NetworkPolicy(PilotNet(2), Preprocessing())
    folder = policy.save(tmp_path / "policy")
    command = ["evaluate", str(folder), "--suite", "blink-v1", "--output", str(tmp_path / "results")]
    assert main(command) == main([*command, "--precision", "float32"]) == 0
    assert main([*command, "--precision", "bfloat16"]) == 2
    assert "choose another" in capsys.readouterr().err
    kinds = [policy, Ensemble([policy, policy])]
    before = [identity_of(kind) for kind in kinds]
    assert before[0] == digest_of(folder)
    policy.to(precision="bfloat16")
    assert set(before).isdisjoint({identity_of(kind) for kind in kinds})


def test_the_cockpit_drives_and_evaluates_on_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    NetworkPolicy(PilotNet(2), Preprocessing()).save(tmp_path / "policy")
    desk = Desk(Workspace(tmp_path), Session(), "meta", "bfloat16")
    assert desk.load(str(tmp_path / "policy")).device.type == "meta"
    commands: list[list[str]] = []
    monkeypatch.setattr(
        desk.jobs_list, "start", lambda kind, name, command, **_: commands.append(command) or Named(1)
    )
    desk.evaluate(["policy"], "evaluation")
    ((*_, device, where, precision, arithmetic),) = [command[:10] for command in commands]
    assert (device, where, precision, arithmetic) == ("--device", "meta", "--precision", "bfloat16")


class Named(int):
    """What the list of jobs answers."""

    @property
    def number(self) -> int:
        return int(self)


def test_autocast_knows_every_device() -> None:
    assert torch.get_autocast_dtype("cpu") == torch.bfloat16
    for kind in ("cpu", "meta"):
        with autocast(torch.device(kind), "bfloat16"):
            assert torch.is_autocast_enabled("cpu")
        with autocast(torch.device(kind), "float32"):
            assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx512f avx512_bf16\n\nprocessor: 1\n", True),
        ("model name\t: Xeon\nflags\t\t: fpu avx512f amx_bf16\n", True),
        ("CPU part\t: 0xd40\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("model name\t: Old\nflags\t\t: fpu avx2 avx512f\n", False),
        (None, False),
    ],
)
def test_a_processor_is_quick_in_bfloat16_if_it_says_so(
    text: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_CPU_INFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert has_fast_bfloat16() == expected
    assert quickest_precision(torch.device("cpu")) == ("bfloat16" if expected else "float32")
    assert describe_device(torch.device("cpu")).startswith("cpu (")


def test_threads_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(OptionError), torch_threads(before + 1):
        find_device("tpu")
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_a_gpu_trains_and_drives_like_the_cpu(frames: Frames, tmp_path: Path) -> None:
    images = np.stack([road_image(offset) for offset in (-1.0, 0.0, 1.0)])
    for network in ("PilotNet", "ACT"):
        options = {**QUICK, "network": network}
        cpu = Training(TrainingConfig(**options), frames).run()
        gpu = Training(
            TrainingConfig(**{**options, "device": "cuda"}), frames, folder=tmp_path / network
        ).run()
        assert gpu.device.type == "cuda"
        np.testing.assert_allclose(gpu.predict(images)[0], cpu.predict(images)[0], atol=0.02)
        loaded = load_policy(tmp_path / network)
        np.testing.assert_allclose(loaded.predict(images)[0], gpu.predict(images)[0], atol=1e-3)
        Training(TrainingConfig(**options), frames, initial=gpu).run()


def test_a_policy_moves_with_its_buffers() -> None:
    class Normalised(PilotNet):
        def __init__(self, outputs: int) -> None:
            super().__init__(outputs)
            self.features.insert(1, nn.BatchNorm2d(24))

    policy = NetworkPolicy(Normalised(2), Preprocessing()).to("meta")
    assert {value.device.type for value in policy.network.state_dict().values()} == {"meta"}


PAGE_FAULTS = """
import resource, torch
from algorithms import make_network
from algorithms.policies.device import keep_freed_memory

torch.set_num_threads(1)
network, images = make_network("PilotNet", 2, 0), torch.rand(32, 3, 66, 200)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        network(images, torch.empty(32, 0)).square().mean().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults(), keep_freed_memory(), (faults(), faults())[1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs mallopt of glibc")
def test_memory_that_a_training_step_frees_is_not_fetched_anew_by_the_next_one() -> None:
    done = subprocess.run([sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True, check=True)
    before, kept, after = done.stdout.split()
    assert kept == "True"
    assert int(after) < int(before) / 4
