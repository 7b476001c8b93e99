"""The car: kinematic steering, engine, brakes, slopes, and the ground under the wheels.

The model is the smallest one that follows Udacity's car within what was measured on recordings of
it: yaw rate = gain · v · tan(delta) / wheelbase behind a first-order lag, an engine whose torque
builds up after a standing start, rigid-body drag, and a cap on the speed that acts *before* the
engine's force of the same physics step, which is why full throttle settles a little above it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.telemetry import MPH
from udacity_gym.world.jit import cached

GRAVITY = 9.81
"""m/s², as in Unity."""
CAP_PERIOD = 0.02
"""s; Unity's physics step, kept in the formula of the cap so that top speed does not depend on our own."""

X, Y, YAW, SPEED, STEER, TORQUE = range(6)
"""Places in the car's state: m, m, rad, m/s, tan of the lagged wheel angle, share of full torque."""
CAR_STATE = 6
"""Numbers in the car's state."""


class CarParameters(NamedTuple):
    """What kind of car it is; the defaults are Udacity's.

    Attributes:
        top_speed: m/s at which the speed is capped before the engine's force of a step (30 mph).
        engine: m/s² at full throttle.
        reverse: m/s² at full throttle in reverse.
        brake: m/s² at full brake, before drag (which makes it 7.0 in the mean from 24 to 6 mph).
        brake_bite: share of the pedal from which the brakes give all they have. In recordings a tenth
            of the pedal brakes as hard as the whole.
        drag: 1/s, share of the speed lost per second.
        standing_torque: share of the engine's torque that is there at once after a standing start.
        torque_rise: s from then to full torque.
        reverse_below: m/s under which negative throttle reverses instead of braking (5 mph).
        max_wheel_angle: rad of the front wheels at full lock.
        wheelbase: m.
        rear_axle: m from the car's root back to the rear axle.
        steering_gain: yaw rate over that of the ideal bicycle.
        steering_lag: s, time constant between wheel angle and yaw rate.
        grip: lateral acceleration on the road that the tyres hold, in g. Fitted to a recorded lap: the
            replayed path misses the track by 1.2 m rms over 500 m with it, by 6.8 m with 1 g.
        ground_grip: the same with all wheels off the road.
        ground_drag: 1/s, drag on top of ``drag`` with all wheels off the road.
        track_width: m between the wheels of an axle.
        body_width: m.
        body_length: m.
        wall_friction: m/s² lost while scraping along a wall.
        wall_alignment: s, time constant with which a wall turns the car parallel to itself.
    """

    top_speed: float = 30 * MPH
    engine: float = 5.6
    reverse: float = 1.8
    brake: float = 6.4
    brake_bite: float = 0.1
    drag: float = 0.101
    standing_torque: float = 0.85
    torque_rise: float = 1.0
    reverse_below: float = 5 * MPH
    max_wheel_angle: float = math.radians(25)
    wheelbase: float = 2.87
    rear_axle: float = 1.60
    steering_gain: float = 1.06
    steering_lag: float = 0.16
    grip: float = 1.6
    ground_grip: float = 1.0
    ground_drag: float = 0.4
    track_width: float = 2.0
    body_width: float = 2.4
    body_length: float = 4.5
    wall_friction: float = 3.0
    wall_alignment: float = 0.15


@cached
def standing_start(state: NDArray[np.float64], speed: float, car: CarParameters) -> None:
    """Set everything about the car but where it is.

    Args:
        state: (CAR_STATE,) float64, changed in place.
        speed: m/s along the nose.
        car: the kind of car.
    """
    state[SPEED] = speed
    state[STEER] = 0.0
    state[TORQUE] = 1.0 if abs(speed) > 1.0 else car.standing_torque


@cached
def advance(
    state: NDArray[np.float64],
    steering: float,
    throttle: float,
    dt: float,
    pitch: float,
    ground: float,
    car: CarParameters,
) -> None:
    """One physics step.

    Args:
        state: (CAR_STATE,) float64, changed in place.
        steering: [-1, 1] share of full lock, positive turns right.
        throttle: [-1, 1]; negative brakes, and reverses below ``car.reverse_below``.
        dt: s.
        pitch: rad, slope under the car along its nose, positive uphill.
        ground: [0, 1] share of the car's width that is off the road.
        car: the kind of car.
    """
    speed = state[SPEED]

    wheel = math.tan(steering * car.max_wheel_angle)
    state[STEER] += (wheel - state[STEER]) * -math.expm1(-dt / car.steering_lag)
    curvature = car.steering_gain * state[STEER] / car.wheelbase
    lateral = abs(curvature) * speed * speed
    limit = GRAVITY * (car.grip + ground * (car.ground_grip - car.grip))
    if lateral > limit:  # understeer: the path is as tight as the tyres hold
        curvature *= limit / lateral
        lateral = limit

    if throttle == 0.0 and abs(speed) < 0.1:
        state[TORQUE] = car.standing_torque
    elif throttle > 0.0:
        state[TORQUE] = min(1.0, state[TORQUE] + dt * (1.0 - car.standing_torque) / car.torque_rise)
    force, braking = 0.0, 0.0
    if throttle > 0.0:
        force = car.engine * state[TORQUE] * throttle
    elif throttle < 0.0 and speed > car.reverse_below:
        braking = car.brake * min(1.0, -throttle / car.brake_bite)
    elif throttle < 0.0:
        force = car.reverse * throttle
    force -= GRAVITY * math.sin(pitch)
    # The front tyres' side force has a part that points backwards once they are turned.
    scrub = lateral * car.rear_axle / car.wheelbase * math.sin(math.atan(abs(state[STEER])))
    resistance = min(braking + scrub, abs(speed) / dt)
    accelerated = speed + dt * (force - math.copysign(resistance, speed))
    accelerated -= dt * (car.drag + ground * car.ground_drag) * speed
    gain = max(0.0, math.copysign(1.0, accelerated) * force - resistance)
    fastest = (car.top_speed + CAP_PERIOD * gain) * (1.0 - CAP_PERIOD * car.drag)
    accelerated = min(fastest, max(-fastest, accelerated))

    travelled = 0.5 * (speed + accelerated) * dt
    turned = -curvature * travelled
    level = travelled * math.cos(pitch)
    state[X] += level * math.cos(state[YAW] + 0.5 * turned)
    state[Y] += level * math.sin(state[YAW] + 0.5 * turned)
    state[YAW] += turned
    state[SPEED] = accelerated
