"""Models that Keras 1, 2 and 3 have really saved give the same answers here, and run no code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from algorithms import Preprocessing
from algorithms.adapters.keras import KerasPolicy, load_keras
from udacity_gym.cli import main
from udacity_gym.driving.onnx_policy import OnnxPolicy
from udacity_gym.errors import CheckpointError, OptionError

MODELS = Path(__file__).with_name("keras_models")
ANSWERS = np.load(MODELS / "answers.npz")
IMAGES = ANSWERS["images"]
WHOLE = {"camera_size": [18, 32], "crop": [0, 18]}
LAMBDA = {"scale": 1 / 127.5, "offset": -1.0}
COURSE = {"preprocessing": WHOLE, "lambdas": {"lambda_1": LAMBDA, "lambda": LAMBDA}}
SCALED = {"preprocessing": {**WHOLE, "scale": 1 / 255}}


def files(kind: str) -> list[str]:
    return sorted(path.name for path in MODELS.glob(f"*_{kind}*") if path.suffix in (".h5", ".keras"))


@pytest.mark.parametrize("name", files("course"))
def test_the_models_of_the_course_answer_as_they_did_in_keras(name: str) -> None:
    policy = load_keras(MODELS / name, COURSE)
    np.testing.assert_allclose(policy.act(IMAGES), ANSWERS["course"], atol=1e-5)
    assert policy.actions == ("steering",)
    assert policy.target_speed == pytest.approx(4.02, abs=0.01)


@pytest.mark.parametrize("name", [*files("others"), *files("functional")])
def test_other_layers_answer_as_they_did_in_keras(name: str) -> None:
    policy = load_keras(MODELS / name, SCALED)
    kind = "others" if "others" in name else "functional"
    np.testing.assert_allclose(policy.act(IMAGES), ANSWERS[kind], atol=1e-5)
    assert policy.actions == ("steering", "throttle")
    assert policy.target_speed is None


def test_there_are_files_of_every_keras() -> None:
    assert {name.split("_course")[0] for name in files("course")} == {
        "keras1",
        "keras2",
        "keras2_15",
        "keras3",
    }
    assert "keras1_course_weights.h5" in files("course")


def test_code_in_a_lambda_is_never_run_and_must_be_described(tmp_path: Path) -> None:
    import marshal

    # What Keras 1 would run on loading: bytes of Python's own. Here nothing looks at them.
    code = marshal.dumps(compile(f"open({str(tmp_path / 'hacked')!r}, 'w')", "x", "eval")).decode(
        "raw_unicode_escape"
    )
    shutil.copy(MODELS / "keras1_course.h5", tmp_path / "evil.h5")
    with h5py.File(tmp_path / "evil.h5", "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"][0]["config"]["function"][0] = code
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(OptionError, match=r"'lambda_1' is a Lambda.*never run.*evil\.policy\.json"):
        load_keras(tmp_path / "evil.h5", {"preprocessing": WHOLE})
    np.testing.assert_allclose(
        load_keras(tmp_path / "evil.h5", COURSE).act(IMAGES), ANSWERS["course"], atol=1e-5
    )
    assert not (tmp_path / "hacked").exists()


def test_the_description_beside_a_model_is_found_and_says_how_images_are_prepared(tmp_path: Path) -> None:
    shutil.copy(MODELS / "keras2_course.h5", tmp_path / "model.h5")
    about = {
        "preprocessing": {"crop": [60, -25], "color": "yuv_before_3.2"},
        "target_speed": 8.0,
        "lambdas": {"lambda_1": LAMBDA},
    }
    (tmp_path / "model.policy.json").write_text(json.dumps(about))
    policy = load_keras(tmp_path / "model.h5")
    assert policy.target_speed == 8.0
    assert policy.preprocessing == Preprocessing(
        crop=(60, 135), size=(18, 32), color="yuv_before_3.2", scale=1.0, offset=0.0, interpolation="linear"
    )


def test_a_keras_model_drives_and_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(MODELS / "keras3_course.keras", tmp_path / "model.keras")
    (tmp_path / "model.policy.json").write_text(
        json.dumps({"lambdas": {"lambda": LAMBDA}, "target_speed": 9})
    )
    drive = [
        "drive",
        str(tmp_path / "model.keras"),
        "--max-seconds",
        "1",
        "--output",
        str(tmp_path / "d.webm"),
    ]
    assert main(drive) == 0
    assert main(["export", str(tmp_path / "model.keras"), "--output", str(tmp_path / "model.onnx")]) == 0
    exported, policy = OnnxPolicy(tmp_path / "model.onnx"), load_keras(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (4, 160, 320, 3), np.uint8)
    np.testing.assert_allclose(exported.predict(images)[0], policy.predict(images)[0], atol=5e-3)
    assert exported.target_speed == 9.0
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        policy.save(tmp_path / "policy")
    assert isinstance(policy, KerasPolicy)


def test_keras_itself_is_not_imported() -> None:
    code = (
        "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None; "
        "from algorithms.adapters.keras import load_keras; "
        f"print(load_keras({str(MODELS / 'keras2_others.h5')!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert "KerasPolicy" in done.stdout, done.stderr


def changed(tmp_path: Path, layer: str, **settings: Any) -> Path:
    """A copy of a model with other settings of a layer."""
    path = tmp_path / "changed.h5"
    shutil.copy(MODELS / "keras2_others.h5", path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        for item in config["config"]["layers"]:
            if item["config"]["name"] == layer:
                item["class_name"] = settings.pop("kind", item["class_name"])
                item["config"].update(settings)
        file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.parametrize(
    ("layer", "settings", "words"),
    [
        ("conv2d_3", {"data_format": "channels_first"}, "'conv2d_3': channels come first"),
        ("conv2d_3", {"kind": "Capsule"}, "Capsule layers are not supported"),
        ("conv2d_3", {"padding": "causal"}, "'causal' is not supported"),
        ("activation_1", {"activation": "magic"}, "activation 'magic' is not supported"),
        ("batch_normalization_1", {"axis": 1}, "not of axis 1"),
        ("batch_normalization_1", {"scale": False}, "don't fit together"),
        ("global_average_pooling2d_1", {"kind": "Dropout"}, "Dense layer must come after Flatten"),
        ("p_re_lu_1", {"kind": "Dense"}, "don't fit together"),
    ],
)
def test_a_layer_that_is_not_understood_is_named_and_never_skipped(
    layer: str, settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_keras(changed(tmp_path, layer, **settings), SCALED)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"crop": [60, 135]}, "some of preprocessing"),
        ({"preprocessing": [1]}, "must be an object"),
        ({"actions": "steering"}, "must be a list"),
        ({"actions": ["steering"]}, "2 outputs, but"),
        ({"preprocessing": {"crop": 60}}, r"such as \[60, -25\]"),
        ({"preprocessing": {"size": [66, 200]}}, "its description says"),
        ({"preprocessing": {"colour": "yuv"}}, "colour"),
        ("nowhere.json", "nowhere.json"),
    ],
)
def test_a_wrong_description_is_refused_with_the_reason(about: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        load_keras(MODELS / "keras2_others.h5", about)


def test_what_is_no_keras_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_keras(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(CheckpointError, match="no Keras model"):
        load_keras(tmp_path / "text.h5")
    whole = (MODELS / "keras3_others.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_keras(tmp_path / "half.keras")
    shutil.copy(MODELS / "keras1_course_weights.h5", tmp_path / "alone.h5")
    with pytest.raises(CheckpointError, match=r"weights only.*alone\.json"):
        load_keras(tmp_path / "alone.h5")
    (tmp_path / "alone.json").write_text(json.dumps({"class_name": "Sequential", "config": "?"}))
    with pytest.raises(CheckpointError, match="can't be understood"):
        load_keras(tmp_path / "alone.h5")


def test_branches_are_refused() -> None:
    with h5py.File(MODELS / "keras2_functional.h5") as file:
        config = json.loads(file.attrs["model_config"])
    from algorithms.adapters.keras import _layers

    assert len(_layers(Path("x"), config)) == 6
    last = config["config"]["layers"][-1]
    last["inbound_nodes"][0].append([config["config"]["layers"][1]["name"], 0, 0, {}])
    with pytest.raises(CheckpointError, match="without branches"):
        _layers(Path("x"), config)
