from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from udacity_gym.conditions import Conditions, Randomization
from udacity_gym.errors import OptionError, SimulatorError, TrackError
from udacity_gym.simulators import SIMULATORS, SimulatorSettings, make_simulator
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.telemetry import CAMERAS, Control
from udacity_gym.world.track.track import Track


def test_it_is_found_by_name():
    settings = SimulatorSettings(
        Track.load("lake"), ctrl_dt=0.1, mode="training", host="127.0.0.1", port=4567
    )
    with make_simulator("embedded", settings) as simulator:
        assert isinstance(simulator, EmbeddedSimulator)
        assert (simulator.ctrl_dt, simulator.mode) == (0.1, "training")
    with pytest.raises(SimulatorError, match=", ".join(map(repr, SIMULATORS.names()))):
        make_simulator("unity", settings)


def test_telemetry_tells_the_control_in_force():
    with EmbeddedSimulator() as simulator:
        simulator.reset(0)
        told = simulator.step(Control(0.25, 0.5))
        assert (told.steering, told.throttle, told.brake) == (0.25, 0.5, 0.0)
        told = simulator.step(Control(-0.25, -0.5))
        assert (told.steering, told.throttle, told.brake) == (-0.25, 0.0, 0.5)
        assert told.time == pytest.approx(2 / 15)


def test_a_restored_snapshot_has_the_same_future_and_the_same_images():
    with EmbeddedSimulator() as simulator:
        simulator.reset(0, {"mode": "training", "s": 400.0, "speed": 8.0})
        moment = simulator.snapshot()
        there = [simulator.step(Control(-0.05, 0.4)) for _ in range(5)]
        simulator.reset(1)
        simulator.restore(moment)
        again = [simulator.step(Control(-0.05, 0.4)) for _ in range(5)]
        for first, second in zip(there, again, strict=True):
            assert (first.pose, first.speed, first.track) == (second.pose, second.speed, second.track)
            for camera in CAMERAS:
                np.testing.assert_array_equal(first.image(camera), second.image(camera))


def test_the_ride_of_an_episode_follows_its_mode():
    with EmbeddedSimulator() as simulator:
        at = {"s": 400.0}
        level = simulator.reset(0, at).image()
        nose_up = simulator.reset(0, {**at, "mode": "training"}).image()
        again = simulator.reset(0, at).image()
    np.testing.assert_array_equal(level, again)
    assert (level != nose_up).any()


def test_views_are_drawn_in_the_size_asked_for_and_unknown_ones_refused():
    with EmbeddedSimulator() as simulator:
        simulator.reset(0)
        assert simulator.view("chase", 320, 176).shape == (176, 320, 3)
        with pytest.raises(SimulatorError, match="cockpit"):
            simulator.view("drone", 320, 176)


def test_a_view_that_is_drawn_later_shows_the_moment_it_was_asked_for():
    """Also in a thread, while the simulator drives and its cameras draw."""
    with EmbeddedSimulator() as simulator, ThreadPoolExecutor(1) as pool:
        simulator.reset(0)
        at_once, later, cameras = [], [], []
        for _ in range(12):
            telemetry = simulator.step(Control(0.2, 1.0))
            later.append(pool.submit(simulator.view_later("chase", 320, 176)))
            cameras.append(telemetry.image())
        drawn = [future.result() for future in later]
        simulator.reset(0)
        for image in cameras:
            telemetry = simulator.step(Control(0.2, 1.0))
            at_once.append(simulator.view("chase", 320, 176))
            np.testing.assert_array_equal(telemetry.image(), image)
        for image, expected in zip(drawn, at_once, strict=True):
            np.testing.assert_array_equal(image, expected)
        assert (drawn[0] != drawn[-1]).any()


def test_a_closed_simulator_can_be_closed_again():
    simulator = EmbeddedSimulator()
    simulator.reset(0)
    simulator.close()
    simulator.close()


def test_it_takes_a_track_as_well_as_its_name():
    track = Track.load("lake")
    assert EmbeddedSimulator(SimulatorSettings(track)).world.track is track


def test_mistakes_are_refused():
    with pytest.raises(TrackError, match="lake"):
        EmbeddedSimulator(SimulatorSettings("atlantis"))
    with pytest.raises(OptionError, match="training"):
        EmbeddedSimulator(SimulatorSettings(mode="manual"))
    with pytest.raises(OptionError, match="ctrl_dt"):
        EmbeddedSimulator(SimulatorSettings(ctrl_dt=-1.0))
    with pytest.raises(SimulatorError, match="reset"):
        EmbeddedSimulator().step(Control())


def test_a_snapshot_keeps_track_and_conditions_with_all_their_chance():
    conditions = Randomization(("rain", "snow"), noise=(5, 10), grip=(0.4, 0.8))
    with EmbeddedSimulator(SimulatorSettings(conditions=conditions)) as twin:
        twin.reset(3, {"track": "jungle", "s": 50.0, "speed": 8.0})
        moment, conditions = twin.snapshot(), twin.conditions
        there = [twin.step(Control(-0.4, 0.4)) for _ in range(4)]
        twin.reset(1)
        twin.restore(moment)
        assert twin.conditions == conditions
        again = [twin.step(Control(-0.4, 0.4)) for _ in range(4)]
        for first, second in zip(there, again, strict=True):
            assert (first.pose, first.extra) == (second.pose, second.extra)
            np.testing.assert_array_equal(first.image(), second.image())


def test_drops_and_noise_differ_from_step_to_step_and_camera_to_camera():
    with EmbeddedSimulator(SimulatorSettings(conditions=Conditions(noise=10.0))) as twin:
        twin.reset(0)
        first, second = (twin.step(Control()).images() for _ in range(2))
        clear = EmbeddedSimulator()
        clear.reset(0)
        assert (clear.step(Control()).image() == clear.step(Control()).image()).all()
        assert (first["center"] != second["center"]).mean() > 0.5
        bonnet = [first[camera][150:, 200:].astype(int) - 140 for camera in ("center", "left")]
        assert abs(np.corrcoef(bonnet[0].ravel(), bonnet[1].ravel())[0, 1]) < 0.9


def test_less_grip_makes_bends_wider_and_braking_longer():
    ends, stops = [], []
    for grip in (1.0, 0.3):
        with EmbeddedSimulator(SimulatorSettings(conditions=Conditions(grip=grip))) as twin:
            twin.reset(0, {"s": 300.0, "speed": 12.0})
            for _ in range(12):
                told = twin.step(Control(1.0, 0.0))
            ends.append(told.pose.yaw)
            twin.reset(0, {"s": 300.0, "speed": 12.0})
            for _ in range(10):
                told = twin.step(Control(0.0, -1.0))
            stops.append(told.speed)
    start = Track.load("lake").pose_at(300.0).yaw
    turned = [(start - end) % (2 * np.pi) for end in ends]
    assert np.pi > turned[0] > 1.5 * turned[1] > 0
    assert stops[1] > stops[0] + 2


def test_what_the_usual_conditions_leave_undrawn_leaves_all_starts_as_they_were():
    random = {"s": "random", "offset": (-1.0, 1.0)}
    plain, rainy = EmbeddedSimulator(), EmbeddedSimulator()
    starts = [plain.reset(5, random).pose, plain.reset(None, random).pose]
    assert [rainy.reset(5, {**random, "conditions": "rain"}).pose] == starts[:1]


def test_an_option_that_fails_leaves_the_episode_as_it_was():
    with EmbeddedSimulator() as twin:
        before = twin.reset(0)
        for wrong in ({"track": "moon"}, {"weather": "hail"}, {"track": "jungle", "s": "far"}, {"fog": 1}):
            with pytest.raises((OptionError, TrackError)):
                twin.reset(1, wrong)
        assert twin.world.pose == before.pose
        assert twin.world.track.name == "lake"


def test_sensors_are_there_by_their_cameras_names_and_others_are_not():
    with EmbeddedSimulator(SimulatorSettings(image_size=(60, 80))) as twin:
        told = twin.reset(0)
        depth, labels = told.images(("left_depth", "right_segmentation")).values()
        assert (depth.shape, depth.dtype) == ((60, 80), np.float32)
        assert (labels.shape, labels.dtype) == ((60, 80), np.uint8)
        assert told.image("left").shape == (60, 80, 3)
        with pytest.raises(KeyError, match="center_lidar"):
            told.image("center_lidar")
