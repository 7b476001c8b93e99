import math

import numpy as np
import pytest

from udacity_gym.telemetry import Control, Telemetry


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
