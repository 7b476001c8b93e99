"""The car's figures: those of Udacity's car, as measured on recordings of it."""

import csv
import math
import re

import numpy as np
import pytest

from udacity_gym.telemetry import MPH
from udacity_gym.world.physics.car import (
    CAR_STATE,
    SIDEWAYS,
    SPEED,
    YAW,
    YAW_RATE,
    CarParameters,
    X,
    Y,
    advance,
    side_force,
    standing_start,
)
from udacity_gym.world.track.track import Track, locate

CAR = CarParameters()
DT = 1 / 60


def car_at(speed: float = 0.0) -> np.ndarray:
    state = np.zeros(CAR_STATE)
    standing_start(state, speed, CAR)
    return state


def drive(state, seconds, steering=0.0, throttle=0.0, dt=DT, pitch=0.0, ground=0.0, car=CAR):
    """Drive and return the speed after every step."""
    speeds = []
    for _ in range(round(seconds / dt)):
        advance(state, steering, throttle, dt, pitch, ground, car)
        speeds.append(state[SPEED])
    return np.array(speeds)


def velocity(state):
    """m/s in the world."""
    return np.array([state[SPEED], state[SIDEWAYS]]) @ rotation(state[YAW])


@pytest.mark.parametrize("dt", [0.005, 1 / 60, 0.02])
def test_full_throttle_settles_at_30_19_mph_whatever_the_physics_step(dt):
    speeds = drive(car_at(), 20.0, throttle=1.0, dt=dt)
    assert speeds[-1] / MPH == pytest.approx(30.19, abs=0.01)
    assert speeds.max() / MPH == pytest.approx(30.19, abs=0.01)


def test_0_to_30_mph_takes_about_2_8_seconds():
    speeds = drive(car_at(), 5.0, throttle=1.0, dt=0.001)
    assert np.argmax(speeds >= 30 * MPH) * 0.001 == pytest.approx(2.8, abs=0.1)


def test_torque_builds_up_after_a_standing_start():
    speeds = drive(car_at(), 1.5, throttle=1.0, dt=0.01)
    at_once, later = (speeds[5] - speeds[0]) / 0.05, (speeds[125] - speeds[120]) / 0.05
    assert at_once < 0.9 * CAR.engine
    assert later + CAR.drag * speeds[122] == pytest.approx(CAR.engine, rel=0.01)


def test_coasting_loses_a_tenth_of_the_speed_per_second():
    speeds = drive(car_at(10.0), 3.0)
    assert math.log(10.0 / speeds[-1]) / 3.0 == pytest.approx(0.101, abs=0.002)


def test_full_brake_takes_7_metres_per_second_squared_from_24_to_6_mph():
    speeds = drive(car_at(25 * MPH), 3.0, throttle=-1.0, dt=0.001)
    seconds = (np.argmax(speeds <= 6 * MPH) - np.argmax(speeds <= 24 * MPH)) * 0.001
    assert 18 * MPH / seconds == pytest.approx(7.0, abs=0.2)


def test_a_tenth_of_the_brake_pedal_brakes_like_the_whole():
    assert drive(car_at(12.0), 0.5, throttle=-0.1)[-1] == drive(car_at(12.0), 0.5, throttle=-1.0)[-1]
    assert drive(car_at(12.0), 0.5, throttle=-0.02)[-1] > drive(car_at(12.0), 0.5, throttle=-0.1)[-1]


def test_negative_throttle_reverses_below_5_mph():
    speeds = drive(car_at(4.9 * MPH), 4.0, throttle=-1.0, dt=0.001)
    assert speeds[-1] < -3.0
    assert (speeds[100] - speeds[0]) / 0.1 == pytest.approx(-1.8 - 0.101 * speeds[50], abs=0.02)


def test_speed_in_reverse_is_capped_too():
    assert drive(car_at(), 60.0, throttle=-1.0)[-1] >= -30.3 * MPH


def test_top_speed_is_a_parameter():
    slow = CAR._replace(top_speed=10.0)
    assert drive(car_at(), 10.0, throttle=1.0, car=slow)[-1] == pytest.approx(10.08, abs=0.02)


@pytest.mark.parametrize("steering", [-0.3, 0.1, 0.5])
@pytest.mark.parametrize("speed", [-3.0, 1.0, 5.0, 13.0])
def test_a_rolling_car_turns_as_its_wheels_point(steering, speed):
    state = car_at(speed)
    for _ in range(120):
        drive(state, DT, steering=steering)
        state[SPEED] = speed
    ideal = -speed * math.tan(steering * math.radians(25)) / 2.87
    assert state[YAW_RATE] == pytest.approx(ideal, rel=0.04)


def test_an_engine_that_pulls_in_front_turns_the_car_more():
    rates = []
    for throttle in (0.0, 1.0):
        state = car_at(12.0)
        drive(state, 0.7, steering=0.1, throttle=throttle)
        rates.append(abs(state[YAW_RATE]) / state[SPEED])
    assert 1.02 * rates[0] < rates[1] < 1.10 * rates[0]


@pytest.mark.parametrize(("speed", "lag"), [(13.0, 0.17), (5.0, 0.07)])
def test_yaw_rate_follows_the_wheel_with_a_lag_that_grows_with_the_speed(speed, lag):
    state, dt = car_at(speed), 0.001
    rate = []
    for _ in range(1500):
        advance(state, 0.1, 0.0, dt, 0.0, 0.0, CAR)
        rate.append(state[YAW_RATE])
        state[SPEED] = speed
    rate = np.array(rate)
    assert np.argmax(rate <= rate[-1] * (1 - math.exp(-1))) * dt == pytest.approx(lag, abs=0.015)


@pytest.mark.parametrize("speed", [2.0, 8.0, 13.0])
def test_in_a_bend_the_nose_points_outwards_by_the_way_from_the_pivot(speed):
    state = car_at(speed)
    for _ in range(120):
        drive(state, DT, steering=-0.2)
        state[SPEED] = speed
    assert state[SIDEWAYS] / state[YAW_RATE] == pytest.approx(CAR.pivot(speed), abs=0.05)
    before = state.copy()
    drive(state, DT, steering=-0.2)
    course = math.atan2(state[Y] - before[Y], state[X] - before[X])
    inwards = (course - 0.5 * (before[YAW] + state[YAW]) + math.pi) % (2 * math.pi) - math.pi
    assert inwards == pytest.approx(CAR.pivot(speed) * state[YAW_RATE] / speed, abs=0.01)


def test_a_car_has_no_phase_between_physics_steps_of_other_lengths():
    ends = []
    for dt in (0.002, 1 / 60):
        state = car_at(8.0)
        drive(state, 3.0, steering=0.3, throttle=0.3, dt=dt)
        ends.append(state[: SPEED + 1].copy())
    np.testing.assert_allclose(*ends, rtol=0, atol=0.08)


@pytest.mark.parametrize("grip", [0.3, 1.0])
def test_side_force_of_a_tyre_has_the_values_of_unitys_curve(grip):
    slips = np.linspace(0.0, 0.8, 801)
    forces = np.array([side_force(slip, CAR, grip) for slip in slips])
    assert forces[0] == 0.0
    assert slips[forces.argmax()] == pytest.approx(0.2, abs=0.002)
    assert forces.max() == pytest.approx(grip)
    assert forces[slips >= 0.5] == pytest.approx(0.75 * grip)
    assert (np.diff(forces[:200]) > 0).all()
    assert forces[1] / slips[1] == pytest.approx(min(CAR.slip_stiffness, 15 * grip), rel=0.02)


def test_positive_steering_turns_right():
    state = car_at(8.0)
    drive(state, 1.0, steering=0.3)
    assert state[YAW] < 0
    assert state[Y] < 0 < state[X]


def test_tyres_hold_only_so_much():
    """Without the steer helper, the path is as tight as the tyres hold; with it, as the wheels point."""
    lateral = []
    for car in (CAR._replace(steer_helper=0.0, downforce=0.0), CAR):
        state = car_at(13.0)
        drive(state, 1.5, steering=0.6, throttle=1.0, car=car)
        before = velocity(state)
        drive(state, DT, steering=0.6, throttle=1.0, car=car)
        change = (velocity(state) - before) / DT
        lateral.append(abs(before[0] * change[1] - before[1] * change[0]) / np.hypot(*before))
    assert 0.7 * 9.81 < lateral[0] < 1.02 * 9.81
    assert 1.8 * 9.81 < lateral[1] < 2.2 * 9.81


@pytest.mark.parametrize("grip", [0.05, 0.3, 1.0])
def test_a_car_that_slides_is_no_faster_than_its_top_speed(grip):
    car, state = CAR.with_grip(grip), car_at(13.0)
    generator, fastest = np.random.default_rng(0), 0.0
    for _ in range(200):
        drive(state, 0.2, steering=generator.uniform(-1, 1), throttle=1.0, car=car)
        fastest = max(fastest, math.hypot(state[SPEED], state[SIDEWAYS]))
    assert fastest < 30.6 * MPH


def test_turned_wheels_brake_about_as_much_backwards_as_forwards():
    lost = []
    for speed in (-5.0, 5.0):
        state = car_at(speed)
        drive(state, 1.0, steering=1.0, car=CAR._replace(drag=0.0))
        lost.append(5.0 - math.hypot(state[SPEED], state[SIDEWAYS]))
    assert all(0.2 < loss < 0.7 for loss in lost)


def test_a_slippery_road_takes_grip_brakes_and_steer_helper():
    ice = CAR.with_grip(0.3)
    assert (ice.grip, ice.ground_grip, ice.brake, ice.steer_helper) == pytest.approx(
        (0.3 * CAR.grip, 0.3 * CAR.ground_grip, 0.3 * CAR.brake, 0.3 * CAR.steer_helper)
    )
    assert CAR.with_grip(1.0) == CAR
    assert CAR.with_grip(2.0).grip == 2.0 * CAR.grip
    assert (CAR.with_grip(2.0).brake, CAR.with_grip(2.0).steer_helper) == (CAR.brake, CAR.steer_helper)
    turned = []
    for car in (CAR, ice):
        state = car_at(12.0)
        drive(state, 1.5, steering=0.5, car=car)
        turned.append(abs(state[YAW]))
    assert turned[1] < 0.6 * turned[0]


def test_a_slope_accelerates_downhill_and_brakes_uphill():
    slope = math.atan(0.2)
    down = drive(car_at(5.0), 0.5, pitch=-slope)[-1] - 5.0
    up = drive(car_at(5.0), 0.5, pitch=slope)[-1] - 5.0
    assert 0.5 * (down - up) == pytest.approx(9.81 * math.sin(slope) * 0.5, rel=0.05)


def test_a_car_goes_less_far_on_a_slope_as_seen_from_above():
    slope = math.atan(0.3)
    state = car_at(5.0)
    speeds = drive(state, 1.0, pitch=slope)
    way = np.mean([5.0, *speeds[:-1], *speeds]) * len(speeds) * DT
    assert math.hypot(state[X], state[Y]) == pytest.approx(way * math.cos(slope), rel=0.01)


def test_a_car_at_rest_stays_at_rest_on_the_flat():
    state = car_at()
    drive(state, 2.0, steering=0.7)
    assert state[SPEED] == state[X] == state[Y] == state[YAW] == 0.0


def test_a_braking_car_never_jumps_backwards_over_standstill():
    speeds = drive(car_at(13.0), 10.0, throttle=-0.5)
    assert (np.diff(speeds) < 0).all()
    assert np.abs(np.diff(speeds)).max() <= 8.0 * DT


def test_ground_off_the_road_slows_the_car_and_holds_it_less():
    road, ground = car_at(12.0), car_at(12.0)
    drive(road, 0.5, steering=0.8)
    drive(ground, 0.5, steering=0.8, ground=1.0)
    assert ground[SPEED] < road[SPEED]
    assert abs(ground[YAW]) < abs(road[YAW])


def read_log(folder):
    """Columns of a driving log: time (s), steering, throttle, brake, speed (m/s)."""
    with open(folder / "driving_log.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    stamps = [re.findall(r"\d+", row[0].replace("\\", "/").rsplit("/", 1)[-1])[-4:] for row in rows]
    time = [3600 * int(h) + 60 * int(m) + int(s) + int(ms) / 1000 for h, m, s, ms in stamps]
    columns = np.array([[float(value) for value in row[3:7]] for row in rows]).T
    return np.array(time) - time[0], columns[0], columns[1], columns[2], columns[3] * MPH


@pytest.fixture(scope="module")
def replayed(lake_recording):
    """The real log and our car under its controls: time, brake, logged speed, our (x, y, yaw, speed)."""
    time, steering, throttle, brake, speed = read_log(lake_recording)
    pedals = throttle - brake
    state = car_at(speed[0])
    states = [[0.0, 0.0, 0.0, speed[0]]]
    for i in range(1, len(time)):
        steps = math.ceil((time[i] - time[i - 1]) / 0.02 - 1e-9)
        for k in range(steps):
            share = (k + 0.5) / steps  # between two rows the person's hand moved evenly
            advance(
                state,
                steering[i - 1] + share * (steering[i] - steering[i - 1]),
                pedals[i - 1] + share * (pedals[i] - pedals[i - 1]),
                (time[i] - time[i - 1]) / steps,
                0.0,
                0.0,
                CAR,
            )
        states.append([state[X], state[Y], state[YAW], state[SPEED]])
    return time, brake, speed, np.array(states)


def test_replaying_a_real_log_gives_its_speeds(replayed):
    _, brake, speed, states = replayed
    error = states[:, 3] - speed
    braked = np.flatnonzero(brake > 0)
    clear = np.ones(len(error), bool)
    for i in braked:  # from the pedal until the car is back at top speed
        clear[i - 1 : i + 60] = False
    assert braked.size
    assert np.sqrt(np.mean(error[clear] ** 2)) < 0.05
    assert np.sqrt(np.mean(error**2)) < 0.5


def test_replaying_a_real_log_drives_the_shape_of_the_track(replayed):
    """Over 500 m the replayed path, laid on the track as well as it goes, is within 3 m rms of its centre."""
    track = Track.load("lake")
    states = replayed[3]
    driven = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(states[:, :2], axis=0).T))])
    misses = []
    for begin in np.arange(0.0, driven[-1] - 500.0, 250.0):
        first, last = np.searchsorted(driven, [begin, begin + 500.0])
        window = states[first:last:4, :3]
        misses.append(min(miss(window, begin + shift, track) for shift in (-12.0, -6.0, 0.0, 6.0, 12.0)))
    assert len(misses) >= 5
    assert np.sqrt(np.mean(np.square(misses))) < 3.0
    assert max(misses) < 4.0


def miss(window, s, track):
    """Rms distance (m) of a path from the centre line, after the rigid motion that makes it least."""
    pose = track.pose_at(s % track.length)
    turn = pose.yaw - window[0, 2]
    points = (window[:, :2] - window[0, :2]) @ rotation(turn) + [pose.x, pose.y]
    for _ in range(12):  # Gauss-Newton
        offset, heading = offsets(points, pose_s := s % track.length, track)
        middle = points.mean(axis=0)
        arm = points - middle
        normal = np.stack([np.sin(heading), -np.cos(heading)], axis=1)
        jacobian = np.column_stack([normal, normal[:, 1] * arm[:, 0] - normal[:, 0] * arm[:, 1]])
        step = np.linalg.lstsq(jacobian, -offset, rcond=None)[0]
        points = middle + step[:2] + arm @ rotation(step[2])
    return float(np.sqrt(np.mean(offsets(points, pose_s, track)[0] ** 2)))


def offsets(points, s, track):
    found = []
    for x, y in points:
        s, offset, i = locate(x, y, track.line, s, 15.0)
        found.append((offset, track.heading[i]))
    return np.array(found).T


def rotation(angle):
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
