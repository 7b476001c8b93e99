import math

import numpy as np
import pytest

from udacity_gym.conditions import NAMED, Conditions
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import Control, Info, Pose, Telemetry, TrackState


def telemetry(**arguments) -> Telemetry:
    return Telemetry(time=0.0, speed=0.0, steering=0.0, throttle=0.0, brake=0.0, **arguments)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.01, 2.0])
@pytest.mark.parametrize("name", ["steering", "throttle"])
def test_a_control_beyond_its_range_can_not_be_made(name, value):
    with pytest.raises(ValueError, match=name):
        Control(**{name: value})


def test_images_are_drawn_when_asked_for_and_together():
    asked = []

    def draw(cameras):
        asked.append(tuple(cameras))
        return {camera: np.zeros((2, 2, 3), np.uint8) for camera in cameras}

    moment = telemetry(cameras=("center", "left"), draw=draw)
    assert asked == []
    moment.image("left")
    moment.images()
    assert asked == [("left",), ("center", "left")]


def test_an_unknown_camera_is_refused_with_the_known_ones_named():
    with pytest.raises(KeyError, match=r"rear.*center"):
        telemetry(cameras=("center",), draw=lambda _: {}).image("rear")
    with pytest.raises(KeyError, match="center"):
        telemetry().image()
    assert telemetry().images() == {}


FULL = Telemetry(
    time=1.5,
    speed=-0.5,
    steering=0.25,
    throttle=0.0,
    brake=1.0,
    pose=Pose(1.0, 2.0, 3.0, 0.5),
    track=TrackState(10.0, -0.5, 0.1, 0.02, 30.0, 1, False, True),
    conditions=Conditions.named("compressed"),
    extra={"track": "lake"},
)


@pytest.mark.parametrize(
    "moment",
    [
        FULL,
        telemetry(),
        telemetry(extra={"cte": 0.5, "lap": 1, "manual": False}),
        telemetry(conditions=Conditions()),
    ],
    ids=["full", "least", "extra", "conditions"],
)
def test_telemetry_is_the_same_again_after_going_through_info(moment):
    assert Telemetry.from_info(moment.as_info()) == moment


def test_info_of_the_environment_is_its_telemetry_and_the_rewards():
    env = UdacityEnv(cameras=(), conditions="ice", max_seconds=0.1)
    env.reset(seed=0)
    for _ in range(2):
        info = env.step(np.array([0.3, 0.5], np.float32))[4]
    rest = {name: info.pop(name) for name in ("ctrl_dt", "reward_terms", "end_reason")}
    assert rest["end_reason"] == "max_seconds"
    assert rest["ctrl_dt"] == env.ctrl_dt
    expected = env.telemetry.as_info()
    np.testing.assert_array_equal(info.pop("pose"), expected.pop("pose"))
    assert info == expected
    assert env.telemetry.as_info().keys() | rest.keys() <= Info.__annotations__.keys()
    read = Telemetry.from_info(env.telemetry.as_info())
    assert (read.track, read.conditions) == (env.telemetry.track, NAMED["ice"])


def test_what_is_not_the_info_of_an_environment_is_refused():
    with pytest.raises(OptionError, match=r"no steering, throttle, brake; .* got time, speed"):
        Telemetry.from_info({"time": 0.0, "speed": 1.0})
    assert Pose.from_info({}) is None
    assert TrackState.from_info({"cte": 0.5}) is None
