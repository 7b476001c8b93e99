"""The car: tyres, Unity's steer helper, engine, brakes, slopes, and the ground under the wheels.

A single-track model (two axles, each with its tyres in the middle) with the numbers of Udacity's car. What
makes that car unlike others is the *steer helper* of Unity's standard car: at each step it turns the velocity
by most of the angle that the body turned. Tyres have to provide only the rest of the lateral acceleration. So
the car follows its wheels at any speed that it reaches, with a delay that grows with the speed. In a bend its
nose points outwards, as only a point near the rear axle moves along it.

The engine's torque builds up after a standing start; the speed is capped *before* the engine's force of the
same physics step, which is why full throttle settles a little above the cap.
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

X, Y, YAW, SPEED, SIDEWAYS, YAW_RATE, TORQUE = range(7)
"""Places in the car's state: m, m, rad, m/s along the nose, m/s to the left, rad/s to the left, share of full
torque."""
CAR_STATE = 7
"""Numbers in the car's state."""
PEAK_SLIP, SKID_SLIP, SKID_SHARE = 0.2, 0.5, 0.75
"""rad of slip at which Udacity's tyres hold most, rad from which they skid, and the share they hold then."""
CREEP = 0.3
"""m/s of rolling below which slip is computed as at this speed."""


class CarParameters(NamedTuple):
    """What kind of car it is; the defaults are Udacity's.

    Attributes:
        top_speed: m/s at which the speed is capped before the engine's force of a step (30 mph).
        engine: m/s² at full throttle, by all four wheels.
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
        rear_axle: m from the car's root, its centre of mass, back to the rear axle.
        yaw_inertia: m², moment of inertia about the vertical axis over mass, of Unity's boxes around it.
        steer_helper: share of the body's turning by which the velocity turns without any force.
        downforce: 1/s, acceleration towards the road over speed.
        grip: lateral force on the tyres, over the load on them, that they hold on the road.
        ground_grip: the same with all wheels off the road.
        slip_stiffness: 1/rad, by how much of its load the side force of a tyre grows with the slip angle, for
            small ones. Fitted to the yaw rates of recordings.
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
    yaw_inertia: float = 1.79
    steer_helper: float = 0.774
    downforce: float = 0.1
    grip: float = 1.0
    ground_grip: float = 0.625
    slip_stiffness: float = 6.0
    ground_drag: float = 0.4
    track_width: float = 2.0
    body_width: float = 2.4
    body_length: float = 4.5
    wall_friction: float = 3.0
    wall_alignment: float = 0.15

    def with_grip(self, factor: float) -> CarParameters:
        """The car on a road with another grip. Where tyres slip, brakes and steer helper do less, too.

        Args:
            factor: of the usual grip, above 0.
        """
        return self._replace(
            grip=self.grip * factor,
            ground_grip=self.ground_grip * factor,
            brake=self.brake * min(1.0, factor),
            steer_helper=self.steer_helper * min(1.0, factor),
        )

    @property
    def lateral_limit(self) -> float:
        """Lateral acceleration that tyres and steer helper hold in a bend that goes on, m/s²."""
        return GRAVITY * self.grip / (1.0 - self.steer_helper)

    def pivot(self, speed: float) -> float:
        """Distance from the root back to the point of the car that moves along its nose in a steady bend, m.

        At a walk that is the rear axle; the faster the car, the more its rear tyres slip outwards.

        Args:
            speed: m/s.
        """
        load = GRAVITY + self.downforce * abs(speed)
        slipped = (1.0 - self.steer_helper) * speed * speed / (steepness(self, self.grip) * load)
        return self.rear_axle - slipped

    def steering_along(self, curvature: float) -> float:
        """Steering, as a share of full lock and positive to the right, that drives along an arc.

        Args:
            curvature: of the arc, 1/m, positive to the left.
        """
        return -math.atan(curvature * self.wheelbase) / self.max_wheel_angle


@cached
def standing_start(state: NDArray[np.float64], speed: float, car: CarParameters) -> None:
    """Set everything about the car but where it is.

    Args:
        state: (CAR_STATE,) float64, changed in place.
        speed: m/s along the nose.
        car: the kind of car.
    """
    state[SPEED] = speed
    state[SIDEWAYS] = state[YAW_RATE] = 0.0
    state[TORQUE] = 1.0 if abs(speed) > 1.0 else car.standing_torque


@cached
def steepness(car: CarParameters, grip: float) -> float:
    """By how much of its load the side force of a tyre grows with the slip angle, for small ones, 1/rad.

    Args:
        car: the kind of car.
        grip: largest side force over load. On slippery roads it limits the steepness: a steeper curve would
            not be monotonic up to its peak.
    """
    return min(3.0 * grip / PEAK_SLIP, car.slip_stiffness)


@cached
def side_force(slip: float, car: CarParameters, grip: float) -> float:
    """Side force of a tyre over the load on it, by the curve of Unity's wheels.

    Two cubic pieces: up to `PEAK_SLIP`, where it is all that the tyre holds, and from there down to what is
    left of it in a skid.

    Args:
        slip: rad, angle between where the wheel rolls and where it goes, not negative.
        car: the kind of car.
        grip: largest value.
    """
    if slip < PEAK_SLIP:
        u = slip / PEAK_SLIP
        start = steepness(car, grip) * PEAK_SLIP
        return u * (start * (1.0 - u) * (1.0 - u) + grip * u * (3.0 - 2.0 * u))
    u = min(1.0, (slip - PEAK_SLIP) / (SKID_SLIP - PEAK_SLIP))
    return grip * (1.0 - (1.0 - SKID_SHARE) * u * u * (3.0 - 2.0 * u))


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
    speed, sideways, rate = state[SPEED], state[SIDEWAYS], state[YAW_RATE]

    if throttle == 0.0 and abs(speed) < 0.1:
        state[TORQUE] = car.standing_torque
    elif throttle > 0.0:
        state[TORQUE] = min(1.0, state[TORQUE] + dt * (1.0 - car.standing_torque) / car.torque_rise)
    drive, braking = 0.0, 0.0
    if throttle > 0.0:
        drive = car.engine * state[TORQUE] * throttle
    elif throttle < 0.0 and speed > car.reverse_below:
        braking = car.brake * min(1.0, -throttle / car.brake_bite)
    elif throttle < 0.0:
        drive = car.reverse * throttle

    # Tyres: side forces per mass, linear in the velocities across the wheels for the implicit step below.
    wheel = -steering * car.max_wheel_angle
    cosine, sine = math.cos(wheel), math.sin(wheel)
    front, rear = car.wheelbase - car.rear_axle, car.rear_axle
    load = (GRAVITY * math.cos(pitch) + car.downforce * abs(speed)) / car.wheelbase
    grip = car.grip + ground * (car.ground_grip - car.grip)
    rolling = speed * cosine + (sideways + front * rate) * sine
    across = (sideways + front * rate) * cosine - speed * sine
    hold_front = load * rear * _hold(across, rolling, car, grip)
    hold_rear = load * front * _hold(sideways - rear * rate, speed, car, grip)
    # Velocities to the left and of turning at the end of the step, by backward Euler: slow wheels are stiff.
    turning = dt / car.yaw_inertia
    steered = hold_front * cosine * speed * sine + 0.5 * drive * sine  # half of the engine pulls in front
    stiff = hold_front * cosine * cosine
    a = 1.0 + dt * (stiff + hold_rear)
    b = dt * (stiff * front - hold_rear * rear + speed * (1.0 - car.steer_helper))
    c = turning * (stiff * front - hold_rear * rear)
    d = 1.0 + turning * (stiff * front * front + hold_rear * rear * rear)
    left, turned = sideways + dt * steered, rate + turning * front * steered
    determinant = a * d - b * c
    state[SIDEWAYS] = (d * left - b * turned) / determinant
    state[YAW_RATE] = (a * turned - c * left) / determinant

    across = (state[SIDEWAYS] + front * state[YAW_RATE]) * cosine - speed * sine
    force = drive - GRAVITY * math.sin(pitch)
    # The side force of turned wheels has a part along the nose. Brakes act along the nose only.
    scrub = -math.copysign(1.0, speed) * hold_front * across * sine
    resistance = min(braking + scrub, abs(speed) / dt)
    accelerated = speed + dt * (force - math.copysign(resistance, speed))
    accelerated += dt * state[SIDEWAYS] * state[YAW_RATE] * (1.0 - car.steer_helper)
    accelerated -= dt * (car.drag + ground * car.ground_drag) * speed
    gain = max(0.0, math.copysign(1.0, accelerated) * force - resistance)
    fastest = (car.top_speed + CAP_PERIOD * gain) * (1.0 - CAP_PERIOD * car.drag)
    moving = math.hypot(accelerated, state[SIDEWAYS])
    if moving > fastest:
        accelerated *= fastest / moving
        state[SIDEWAYS] *= fastest / moving

    travelled = 0.5 * (speed + accelerated) * dt * math.cos(pitch)
    drifted = 0.5 * (sideways + state[SIDEWAYS]) * dt
    yaw = state[YAW] + 0.25 * (rate + state[YAW_RATE]) * dt
    state[X] += travelled * math.cos(yaw) - drifted * math.sin(yaw)
    state[Y] += travelled * math.sin(yaw) + drifted * math.cos(yaw)
    state[YAW] += 0.5 * (rate + state[YAW_RATE]) * dt
    state[SPEED] = accelerated


@cached
def _hold(across: float, along: float, car: CarParameters, grip: float) -> float:
    """Side force of a tyre over its load and over its velocity across the wheel, s/m.

    Args:
        across: m/s that the wheel moves across its plane.
        along: m/s that it rolls.
        car: the kind of car.
        grip: largest side force over load.
    """
    along = max(abs(along), CREEP)
    slip = math.atan(abs(across) / along)
    if slip < 1e-6:
        return steepness(car, grip) / along
    return side_force(slip, car, grip) / max(abs(across), 1e-9)
