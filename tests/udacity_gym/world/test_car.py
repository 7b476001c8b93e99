"""The car's figures: those of Udacity's car, as measured on recordings of it."""

import csv
import math
import re

import numpy as np
import pytest

from udacity_gym.telemetry import MPH
from udacity_gym.world.physics.car import CAR_STATE, SPEED, YAW, CarParameters, X, Y, advance, standing_start
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
def test_yaw_rate_is_1_06_times_that_of_the_ideal_bicycle(steering):
    state = car_at(8.0)
    drive(state, 1.5, steering=steering, throttle=0.2)
    yaw = state[YAW]
    speed = drive(state, DT, steering=steering, throttle=0.2)[0]
    ideal = -speed * math.tan(steering * math.radians(25)) / 2.87
    assert (state[YAW] - yaw) / DT == pytest.approx(1.06 * ideal, rel=0.01)


def test_yaw_rate_follows_the_wheel_with_a_lag_of_0_16_seconds():
    state, dt = car_at(8.0), 0.001
    yaws = [0.0]
    for _ in range(1500):
        advance(state, 0.2, 0.15, dt, 0.0, 0.0, CAR)
        yaws.append(state[YAW])
    rate = np.diff(yaws) / dt
    assert np.argmax(rate <= rate[-1] * (1 - math.exp(-1))) * dt == pytest.approx(0.16, abs=0.01)


def test_positive_steering_turns_right():
    state = car_at(8.0)
    drive(state, 1.0, steering=0.3)
    assert state[YAW] < 0
    assert state[Y] < 0 < state[X]


def test_tyres_hold_only_so_much():
    state = car_at(13.0)
    drive(state, 1.0, steering=1.0, throttle=1.0)
    yaw = state[YAW]
    speed = drive(state, DT, steering=1.0, throttle=1.0)[0]
    assert abs(state[YAW] - yaw) / DT * speed == pytest.approx(CAR.grip * 9.81, rel=0.02)


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
