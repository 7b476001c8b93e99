"""Images and numbers that no simulator should send: a clear error at once, no work, and the drive goes on."""

import base64
import contextlib
import json
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st
from unity_like import UnityLike, jpeg
from wire_tools import make_remote, port_of, server_of, wait_for_start

from udacity_gym.errors import SimulatorError
from udacity_gym.protocol.dialects import DIALECTS
from udacity_gym.protocol.images import EncodedImages, encode_image, image_size
from udacity_gym.protocol.server import SETTLING
from udacity_gym.telemetry import Pose, Telemetry, TrackState

STRAIGHT = np.array([0.0, 0.1], dtype=np.float32)


def chunk(name, data):
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def bomb(width=30_000, height=30_000):
    """A PNG of 2 MB in base64 and 2.7 GB as an image."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    pixels = zlib.compress(bytes(1_500_000_000 // 1000)) * 1000
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


@pytest.fixture
def driven():
    """An environment in the middle of an episode, and the simulator that it drives."""
    env = make_remote()
    clock = env.unwrapped.simulator.options.clock
    with UnityLike(port_of(env), clock) as unity:
        wait_for_start(server_of(env))
        clock.advance(SETTLING)
        env.reset()
        yield env, unity
        env.close()


IMAGES = {
    "another size": (jpeg(size=(480, 640)), r"640x480 pixels.*320x160.*resize"),
    "no image": (base64.b64encode(b"hello").decode(), "neither JPEG nor PNG"),
    "no base64": ("%%%", "not base64"),
    "base64 of nothing": ("====", "base64|empty"),
    "cut off": (jpeg()[:4000], "cut off|base64"),
    "only a header": (base64.b64encode(base64.b64decode(jpeg())[:200]).decode(), "cut off|no size"),
    "broken inside": (base64.b64encode(b"\xff\xd8" + b"\0" * 100 + b"\xff\xd9").decode(), "can't be decoded"),
    "a bomb": (bomb(), "30000x30000"),
    "a JPEG that says it is huge": (
        base64.b64encode(
            b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + b"\0" * 20 + b"\xff\xd9"
        ).decode(),
        "65535x65535",
    ),
    "null": (None, "sends no image of 'center'"),
    "empty": ("", "sends no image of 'center'"),
    "missing": (..., "sends no image of 'center'"),
    "a number": (3, "'image' is no text"),
    "a list": ([jpeg()], "'image' is no text"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_that_can_not_be_used_is_said_and_the_drive_goes_on(driven, kind):
    env, unity = driven
    image, message = IMAGES[kind]
    tell = unity.tell
    data = {} if image is ... else {"image": image}
    unity.tell = lambda: {**{name: value for name, value in tell().items() if name != "image"}, **data}
    with pytest.raises(SimulatorError, match=message):
        env.step(STRAIGHT)
    unity.tell = tell
    observation, _, terminated, truncated, _ = env.step(STRAIGHT)
    assert observation.shape == (160, 320, 3)
    assert not terminated
    assert not truncated


@pytest.mark.parametrize("options", [{}, {"resize": True}])
def test_an_image_that_is_too_large_never_reaches_the_decoder(driven, monkeypatch, options):
    env, unity = driven
    object.__setattr__(env.unwrapped.simulator.options, "resize", bool(options))
    unity.image = bomb()
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("it was decoded"))
    with pytest.raises(SimulatorError, match="30000x30000"):
        env.step(STRAIGHT)


def test_images_of_another_size_are_scaled_where_that_is_wanted():
    env = make_remote(simulator_options={"resize": True})
    clock = env.unwrapped.simulator.options.clock
    with UnityLike(port_of(env), clock) as unity:
        unity.image = jpeg(size=(480, 640))
        wait_for_start(server_of(env))
        clock.advance(SETTLING)
        observation, _ = env.reset()
        assert observation.shape == (160, 320, 3)
        assert env.observation_space.contains(env.step(STRAIGHT)[0])
        env.close()


def test_images_do_not_matter_without_cameras():
    env = make_remote(cameras=())
    clock = env.unwrapped.simulator.options.clock
    with UnityLike(port_of(env), clock) as unity:
        unity.image = bomb()
        wait_for_start(server_of(env))
        clock.advance(SETTLING)
        env.reset()
        assert env.step(STRAIGHT)[4]["speed"] > 0
        env.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("speed", 1e300),
        ("speed", "1e300"),
        ("speed", "Infinity"),
        ("speed", "-1e9"),
        ("throttle", "NaN"),
        ("steering_angle", None),
        ("steering_angle", []),
        ("throttle", "full"),
    ],
)
def test_a_number_beyond_reason_is_said_at_once_and_the_drive_goes_on(driven, field, value):
    env, unity = driven
    unity.extra = {field: value}
    begin = env.unwrapped.simulator.options.clock.now()
    with pytest.raises(SimulatorError, match=f"answered with a telemetry of term1 in which '{field}' is"):
        env.step(STRAIGHT)
    assert env.unwrapped.simulator.options.clock.now() - begin < 1.0
    unity.extra = {}
    assert np.isfinite(env.step(STRAIGHT)[1])


def test_a_telemetry_that_is_no_json_is_said_at_once_and_the_drive_goes_on(driven):
    env, unity = driven
    unity.extra = {"speed": 10**400}  # more digits than the parser allows
    with pytest.raises(SimulatorError, match=r"answered with a message that is not Socket\.IO"):
        env.step(STRAIGHT)
    unity.extra = {}
    assert np.isfinite(env.step(STRAIGHT)[1])


def state():
    """What our own simulator sends."""
    telemetry = Telemetry(
        time=1.0,
        speed=2.0,
        steering=0.1,
        throttle=0.2,
        brake=0.0,
        pose=Pose(1.0, 2.0, 3.0, 0.5),
        track=TrackState(1.0, 0.1, 0.0, 0.01, 5.0, 1, False, False),
    )
    return json.loads(json.dumps(DIALECTS["twin"].state(telemetry, {}, "lake", 1)[1]))


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
)


@given(st.sampled_from(sorted(state()["twin"])), st.sampled_from([None, "x", "s", "lap", "yaw"]), VALUES)
def test_what_claims_to_be_our_simulator_is_read_or_refused(field, inner, value):
    data = state()
    if inner is not None and isinstance(data["twin"][field], dict):
        data["twin"][field][inner] = value
    else:
        data["twin"][field] = value
    with contextlib.suppress(ValueError):
        telemetry = DIALECTS["twin"].read_telemetry(data)
        numbers = [telemetry.time, telemetry.speed, telemetry.pose.x, telemetry.track.s, telemetry.track.lap]
        assert np.isfinite(numbers).all()


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\x89PNG\r\n\x1a\n"])
)
def test_any_bytes_are_an_image_or_a_simulator_error(data, start):
    images = EncodedImages({"center": base64.b64encode(start + data).decode()})
    with contextlib.suppress(SimulatorError):
        images.check(("center",), (160, 320))
    with contextlib.suppress(SimulatorError):
        assert images(("center",))["center"].shape[2] == 3


def test_the_size_is_read_in_the_header():
    image = np.zeros((20, 30, 3), np.uint8)
    assert image_size(base64.b64decode(encode_image(image))) == (20, 30)
    assert image_size(cv2.imencode(".png", image)[1].tobytes()) == (20, 30)
