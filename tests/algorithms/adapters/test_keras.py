"""Models that Keras 1, 2 and 3 have really saved give the same answers here, and run no code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from algorithms import Preprocessing, load_policy
from algorithms.adapters.keras import KerasPolicy, load_keras
from udacity_gym.cli import main
from udacity_gym.driving import PIThrottle, SteeringThrottle
from udacity_gym.driving.loading import load_policy as load_any_policy
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
    about = {"preprocessing": {"crop": [0, 160]}, "lambdas": {"lambda": LAMBDA}, "target_speed": 9}
    (tmp_path / "model.policy.json").write_text(json.dumps(about))
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
        f"print(load_keras({str(MODELS / 'keras2_others.h5')!r}, {{'preprocessing': {{'scale': 1}}}}))"
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
        (
            "average_pooling2d_1",
            {"data_format": "channels_first"},
            "come first in average_pooling2d_1, and last",
        ),
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
        ({"preprocessing": {"columns": [20, "x"]}}, r"columns=.*such as \[20, -20\]"),
        ({"preprocessing": {"blur": 4}}, "blur=4 must be odd"),
        ({"preprocessing": {"order": ["crop", "smell"]}}, "order=.*must be some of"),
        ({"preprocessing": {"order": ["resize", "crop", "color"]}}, '"size" must say'),
        ({"preprocessing": {"order": ["crop", "color"]}}, "lacks resize"),
        ({"input_shape": "18x32"}, "input_shape='18x32' must be a list"),
        ({"input_shape": [18, 32]}, "must be three whole numbers"),
        ({"backend": "torch7"}, "backend='torch7' is unknown"),
        ({"throttle_law": {"law": "pi"}}, "a throttle law with actions=.*'throttle'"),
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


def test_channels_first_answer_as_they_did_in_keras_on_torch_and_on_theano() -> None:
    for name, backend in (("keras3", {}), ("keras1_theano", {"backend": "theano"})):
        answers = np.load(MODELS / f"{name}_channels_first_answers.npz")
        policy = load_keras(MODELS / f"{name}_channels_first.h5", {**SCALED, **backend})
        np.testing.assert_allclose(policy.act(answers["images"]), answers["answers"], atol=1e-5, err_msg=name)
        assert policy.preprocessing.size == (18, 32)
    with pytest.warns(UserWarning, match='Theano.*TensorFlow is taken.*"backend": "theano"'):
        load_keras(MODELS / "keras1_theano_channels_first.h5", SCALED)


def with_architecture(tmp_path: Path, change: Any) -> Path:
    """The weights of Keras 1, with a changed architecture beside them."""
    shutil.copy(MODELS / "keras1_course_weights.h5", tmp_path / "model.h5")
    text = (MODELS / "keras1_course_weights.json").read_text()
    (tmp_path / "model.json").write_text(change(text))
    return tmp_path / "model.h5"


def test_an_architecture_that_is_encoded_twice_is_read(tmp_path: Path) -> None:
    path = with_architecture(tmp_path, json.dumps)
    np.testing.assert_allclose(load_keras(path, COURSE).act(IMAGES), ANSWERS["course"], atol=1e-5)


def test_the_input_shape_of_a_model_that_was_built_by_training_is_found(tmp_path: Path) -> None:
    def without_shape(text: str) -> str:
        architecture = json.loads(text)
        del architecture["config"][0]["config"]["batch_input_shape"]
        return json.dumps(architecture)

    def with_build_shape(text: str) -> str:  # as Keras 2.2.4 of TensorFlow 2 writes it
        architecture = json.loads(without_shape(text))
        layers = {
            "name": "sequential",
            "layers": architecture["config"],
            "build_input_shape": [None, 18, 32, 3],
        }
        return json.dumps({**architecture, "config": layers})

    path = with_architecture(tmp_path, without_shape)
    with pytest.raises(CheckpointError, match=r'model\.policy\.json: {"input_shape": \[160, 320, 3\]}'):
        load_keras(path, COURSE)
    said = load_keras(path, {**COURSE, "input_shape": [18, 32, 3]})
    built = load_keras(with_architecture(tmp_path, with_build_shape), COURSE)
    for policy in (said, built):
        np.testing.assert_allclose(policy.act(IMAGES), ANSWERS["course"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "about", "words"),
    [
        ("keras1_course.h5", {"lambdas": COURSE["lambdas"]}, "the whole image, resized to 18x32, in RGB"),
        ("keras2_others.h5", {}, "values from 0 to 255.*and the whole image.*keras2_others.policy.json"),
        ("keras2_others.h5", {"preprocessing": {"crop": [60, -25]}}, "gets values from 0 to 255"),
    ],
)
def test_a_model_whose_preprocessing_is_probably_not_described_warns(
    name: str, about: dict[str, Any], words: str
) -> None:
    with pytest.warns(UserWarning, match=words):
        load_keras(MODELS / name, about)
    for silent in ({"scale": 1}, {"scale": 1 / 255, "crop": [0, 160]}):
        load_keras(MODELS / name, {**about, "preprocessing": {**about.get("preprocessing", {}), **silent}})


def course_images(size: tuple[int, int, int]) -> Any:
    return np.random.default_rng(3).integers(0, 256, size, np.uint8)


def test_steps_of_drive_py_files_are_done_in_their_order() -> None:
    image = course_images((160, 320, 3))

    def prepared(about: dict[str, Any]) -> Any:
        policy = load_keras(MODELS / "keras2_others.h5", {"preprocessing": {"scale": 1, **about}})
        return policy.preprocessing(image)

    blurred = cv2.GaussianBlur(image[60:-25, 20:-20], (3, 3), 0)
    resized = cv2.resize(blurred, (32, 18), interpolation=cv2.INTER_AREA)
    about = {"crop": [60, -25], "columns": [20, -20], "blur": 3, "color": "yuv", "interpolation": "area"}
    np.testing.assert_array_equal(prepared(about), cv2.cvtColor(resized, cv2.COLOR_RGB2YUV))

    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2YUV), (64, 32))[12:-2, 16:48]
    order = ["color", "resize", "crop", "blur"]
    about = {"order": order, "size": [32, 64], "crop": [12, -2], "columns": [16, 48], "color": "yuv"}
    np.testing.assert_array_equal(prepared(about), small)
    np.testing.assert_array_equal(prepared({**about, "blur": 5}), cv2.GaussianBlur(small, (5, 5), 0))


@pytest.mark.parametrize(
    "about",
    [
        {"crop": [60, -25], "columns": [20, -20], "blur": 3, "color": "yuv", "interpolation": "area"},
        {
            "order": ["blur", "resize", "crop"],
            "blur": 5,
            "size": [32, 64],
            "crop": [12, -2],
            "columns": [16, 48],
        },
    ],
)
def test_all_steps_and_the_throttle_law_are_exported(about: dict[str, Any], tmp_path: Path) -> None:
    law = {"law": "pi", "target_speed": 4.0, "coast_steering": 0.6}
    description = {"preprocessing": about, "lambdas": {"lambda_1": LAMBDA}, "throttle_law": law}
    policy = load_keras(MODELS / "keras2_course.h5", description)
    assert policy.target_speed is None
    assert policy.throttle_law == PIThrottle(4.0, coast_steering=0.6)
    assert policy.export(tmp_path / "model.onnx").difference < 0.02
    exported = OnnxPolicy(tmp_path / "model.onnx")
    assert exported.throttle_law == policy.throttle_law
    assert exported.target_speed is None


def test_a_throttle_law_given_as_argument_replaces_what_the_description_says() -> None:
    about = {**COURSE, "target_speed": 8.0}
    policy = load_keras(MODELS / "keras2_course.h5", about, throttle_law=SteeringThrottle(10.0))
    assert policy.throttle_law == SteeringThrottle(10.0)
    assert policy.target_speed is None
    with pytest.raises(OptionError, match="in place of a target speed"):
        load_keras(MODELS / "keras2_course.h5", {**about, "throttle_law": {"law": "pi"}})


@pytest.mark.parametrize("name", ["mine.pt", "weights.pth", "policy.safetensors", "ppo.zip"])
def test_files_of_other_libraries_say_what_to_do(name: str, tmp_path: Path) -> None:
    words = {".pt": "file of PyTorch.*model.onnx", ".pth": "file of PyTorch", ".zip": "Stable-Baselines3"}
    (tmp_path / name).write_bytes(b"anything")
    for load in (load_any_policy, load_policy):
        with pytest.raises(CheckpointError, match=words.get(Path(name).suffix, "weights only")):
            load(tmp_path / name)
