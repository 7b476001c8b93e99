import numpy as np
import pytest

from udacity_gym.overlay import PANEL, draw_telemetry
from udacity_gym.telemetry import Telemetry, TrackState


def telemetry(track=True, **values) -> Telemetry:
    state = TrackState(
        s=0.0,
        cte=values.pop("cte", 0.0),
        heading_error=0.0,
        curvature=0.0,
        progress=values.pop("progress", 500.0),
        lap=0,
        offroad=False,
        off_lane=values.pop("off_lane", False),
    )
    defaults = {"time": 61.5, "speed": 12.0, "steering": 0.0, "throttle": 0.0, "brake": 0.0}
    return Telemetry(**{**defaults, **values}, track=state if track else None)


def image(width=800, height=448):
    return np.full((height, width, 3), 120, np.uint8)


def colour_count(canvas, channel):
    """Pixels that clearly have the colour of one channel."""
    others = np.delete(canvas, channel, axis=2).max(axis=2).astype(int)
    return int((canvas[..., channel].astype(int) - others > 60).sum())


def test_the_image_is_copied_and_stays_free_above_the_panel():
    original = image()
    canvas = draw_telemetry(original, telemetry(), 1000.0)
    assert (original == 120).all()
    free = round((1 - PANEL) * 448) - 2
    assert (canvas[:free] == 120).all()
    assert (canvas[free + 4 :] != 120).any()


def test_throttle_is_green_brake_is_red_and_grows_with_the_pedal():
    green = [colour_count(draw_telemetry(image(), telemetry(False, throttle=t)), 1) for t in (0.0, 0.3, 1.0)]
    red = [colour_count(draw_telemetry(image(), telemetry(False, brake=b)), 0) for b in (0.0, 0.3, 1.0)]
    for counts in (green, red):
        assert counts[0] == 0
        assert counts[2] > 2 * counts[1] > 0


def test_the_steering_knob_moves_to_the_side_that_is_steered_to():
    def knob(steering):
        canvas = draw_telemetry(image(), telemetry(False, steering=steering))
        row = canvas[round(448 * (1 - PANEL) + 0.42 * PANEL * 448), 800 // 3 : 2 * 800 // 3]
        return np.flatnonzero((row > 230).all(axis=1)).mean()

    assert knob(-0.8) < knob(0.0) < knob(0.8)
    assert knob(0.0) == pytest.approx(800 / 6, abs=4)


def test_a_wheel_over_the_line_turns_the_marker_red():
    inside = draw_telemetry(image(), telemetry(cte=2.0))
    outside = draw_telemetry(image(), telemetry(cte=3.5, off_lane=True))
    assert colour_count(inside, 0) == 0 < colour_count(outside, 0)


@pytest.mark.parametrize("size", [(320, 160), (641, 361), (1920, 1080)])
@pytest.mark.parametrize("track", [True, False])
def test_any_size_will_do(size, track):
    canvas = draw_telemetry(image(*size), telemetry(track, cte=-99.0, progress=-12345.0, time=1e5), 1137.8)
    assert canvas.shape == (size[1], size[0], 3)
    assert canvas.dtype == np.uint8
