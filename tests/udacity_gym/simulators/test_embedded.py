import numpy as np
import pytest

from udacity_gym.errors import OptionError, SimulatorError, TrackError
from udacity_gym.simulators import SIMULATORS, SimulatorSettings, make_simulator
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.telemetry import CAMERAS, Control
from udacity_gym.world.track import Track


def test_it_is_found_by_name():
    settings = SimulatorSettings(
        Track.load("lake"), ctrl_dt=0.1, mode="training", host="127.0.0.1", port=4567
    )
    with make_simulator("embedded", settings) as simulator:
        assert isinstance(simulator, EmbeddedSimulator)
        assert (simulator.ctrl_dt, simulator.mode) == (0.1, "training")
    with pytest.raises(SimulatorError, match=", ".join(map(repr, SIMULATORS))):
        make_simulator("unity", settings)


def test_telemetry_tells_the_control_in_force():
    with EmbeddedSimulator() as simulator:
        simulator.reset(0)
        told = simulator.step(Control(0.25, 0.5))
        assert (told.steering, told.throttle, told.brake) == (0.25, 0.5, 0.0)
        told = simulator.step(Control(-0.25, -0.5))
        assert (told.steering, told.throttle, told.brake) == (-0.25, 0.0, 0.5)
        assert told.time == pytest.approx(2 / 15)


def test_a_restored_snapshot_has_the_same_future_and_the_same_pictures():
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


def test_a_closed_simulator_can_be_closed_again():
    simulator = EmbeddedSimulator()
    simulator.reset(0)
    simulator.close()
    simulator.close()


def test_it_takes_a_track_as_well_as_its_name():
    track = Track.load("lake")
    assert EmbeddedSimulator(track).world.track is track


def test_mistakes_are_refused():
    with pytest.raises(TrackError, match="lake"):
        EmbeddedSimulator("atlantis")
    with pytest.raises(OptionError, match="training"):
        EmbeddedSimulator(mode="manual")
    with pytest.raises(OptionError, match="ctrl_dt"):
        EmbeddedSimulator(ctrl_dt=-1.0)
    with pytest.raises(SimulatorError, match="reset"):
        EmbeddedSimulator().step(Control())
