"""A fixed-step loop around the car and the track: no images, no gymnasium, no networking."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number, is_number
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.telemetry import CTRL_DT, Control, Pose, TrackState
from udacity_gym.world.jit import cached
from udacity_gym.world.physics.car import (
    CAP_PERIOD,
    CAR_STATE,
    GRAVITY,
    SIDEWAYS,
    SPEED,
    YAW,
    YAW_RATE,
    CarParameters,
    X,
    Y,
    advance,
    standing_start,
)
from udacity_gym.world.physics.ground import STEP, Ground, cliffs, ground_of
from udacity_gym.world.track.track import CentreLine, Track, axle_places, locate, slope_at

S, OFFSET, HEADING_ERROR, CURVATURE, PROGRESS, RISE, AIR, Z, PITCH, ROLL = range(CAR_STATE, CAR_STATE + 10)
"""Places in the state after the car's own: m, m (right of the centre line), rad, 1/m, m, m/s upwards,
1 in the air, m, rad, rad."""
WORLD_STATE = CAR_STATE + 10
"""Numbers in the world's state."""
CLEAR = 0.05
"""m between wheels and ground from which on the car is in the air."""
PUSH = 2.0
"""m/s at which a wall pushes out a car that came into it sideways, such as at the end of a bridge."""
KEPT_ROADS = 16
"""Tracks, in one direction each, whose tables are kept."""
REACH = 10.0
"""m along the track in which the car is looked for after a physics step."""

_Road: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Fields of `CentreLine` and of `Ground`: handed to compiled code, named tuples take three times as long."""


@cached
def _observe(state: NDArray[np.float64], line: CentreLine, near: float, car: CarParameters) -> None:
    """Fill in the track's part of the state from the car's; progress is left alone."""
    s, offset, i = locate(state[X], state[Y], line, near, REACH)
    n = line.x.shape[0]
    along = (s - i * line.spacing + 0.5 * line.length) % line.length - 0.5 * line.length
    error = line.heading[i] + along * line.curvature[i] - state[YAW]
    error = math.atan2(math.sin(error), math.cos(error))
    before = min(int(s / line.spacing), n - 1)
    rise = line.z[(before + 1) % n] - line.z[before]
    slope = slope_at(line, s, offset, car.wheelbase - car.rear_axle, car.rear_axle)
    state[S] = s
    state[OFFSET] = offset
    state[HEADING_ERROR] = error
    state[CURVATURE] = line.curvature[i]
    state[Z] = line.z[before] + rise * (s / line.spacing - before)
    state[PITCH] = slope * math.cos(error)
    state[ROLL] = slope * math.sin(error)


@cached
def _fall(state: NDArray[np.float64], height: float, dt: float) -> bool:
    """The car is in the air, at a height in m, and goes where it went; True for `_stand`."""
    state[Z] = height
    state[RISE] -= GRAVITY * dt
    state[PITCH], state[ROLL] = math.atan2(state[RISE], max(abs(state[SPEED]), 5.0)), 0.0
    return True


@cached
def _rise(ground: Ground, s: float, offset: float) -> float:
    """Height of the ground above the road beside it, m, at a place (m along the track, m right)."""
    table = ground.heights[1 if offset > 0 else 0]
    s = (ground.length - s if ground.backwards else s) / STEP
    row, column = min(int(s), table.shape[0] - 2), min(int(abs(offset)), table.shape[1] - 2)
    a, b = s - row, min(1.0, abs(offset) - column)
    near = table[row, column] + a * (table[row + 1, column] - table[row, column])
    far = table[row, column + 1] + a * (table[row + 1, column + 1] - table[row, column + 1])
    return float(near + b * (far - near))


@cached
def _stand(
    state: NDArray[np.float64],
    line: CentreLine,
    ground: Ground,
    height: float,
    dt: float,
    car: CarParameters,
) -> bool:
    """Put a car that is beside the road on the ground there, or let it fall.

    Where the ground drops faster than the car falls, it flies like a thrown body, and lands without a bounce.

    Args:
        state: the state; its height, pitch and roll are those of the road beside it, and are changed.
        line: the track.
        ground: the ground.
        height: m, of the car before this step.
        dt: s.
        car: the kind of car.

    Returns:
        Whether the car is in the air.
    """
    falling = height + state[RISE] * dt - 0.5 * GRAVITY * dt * dt
    if abs(state[OFFSET]) <= ground.level:  # nobody takes off here, but one may come down from beside
        if state[AIR] > 0.0 and falling > state[Z] + CLEAR:
            return _fall(state, falling, dt)
        state[RISE] = 0.0
        return False
    offset = state[OFFSET]
    surface = state[Z] + _rise(ground, state[S], offset)
    if falling > max(surface, ground.water) + CLEAR:
        return _fall(state, falling, dt)
    error = state[HEADING_ERROR]
    cosine, sine = math.cos(error), math.sin(error)
    along = math.tan(state[PITCH] * cosine + state[ROLL] * sine)  # of the road beside the car
    rear, front = axle_places(line, state[S], offset, car.wheelbase - car.rear_axle, car.rear_axle)
    along += (_rise(ground, front, offset) - _rise(ground, rear, offset)) / car.wheelbase
    column = math.copysign(math.floor(abs(offset)), offset)
    across = _rise(ground, state[S], column + math.copysign(1.0, offset)) - _rise(ground, state[S], column)
    across *= math.copysign(1.0, offset)
    if surface < ground.water:
        surface, along, across = ground.water, 0.0, 0.0
    state[PITCH] = math.atan(along * cosine + across * sine)
    state[ROLL] = math.atan(along * sine - across * cosine)
    state[RISE] = min((surface - height) / dt, abs(state[SPEED]))
    state[Z] = surface
    return False


@cached
def _collide(
    state: NDArray[np.float64], line: CentreLine, offset_before: float, dt: float, car: CarParameters
) -> bool:
    """Keep the car between walls: it slides along them, loses speed and is turned parallel."""
    i = min(int(state[S] / line.spacing), line.x.shape[0] - 1)
    side = math.copysign(1.0, state[OFFSET])
    wall = line.wall_right[i] if side > 0 else line.wall_left[i]
    if not abs(offset_before) < wall:  # no wall here, or the car is already on its far side
        return False
    error = state[HEADING_ERROR]
    reach = 0.5 * (car.body_width * abs(math.cos(error)) + car.body_length * abs(math.sin(error)))
    excess = abs(state[OFFSET]) + reach - wall
    if excess <= 0:
        return False
    heading = error + state[YAW]
    speed = state[SPEED]
    outwards = side * (speed * math.sin(error) - state[SIDEWAYS] * math.cos(error))
    # What the car moved outwards is taken back; what else sticks in the wall comes out without a jump.
    shift = min(excess, (abs(outwards) + PUSH) * dt)
    state[X] -= side * shift * math.sin(heading)
    state[Y] += side * shift * math.cos(heading)
    if outwards > 0:  # moving into the wall: what is left is the part along it
        along = speed * math.cos(error) + state[SIDEWAYS] * math.sin(error)
        speed = math.copysign(along, speed)
        state[SIDEWAYS] = state[YAW_RATE] = 0.0
        parallel = math.atan(math.tan(error))  # rad away from the nearer of the wall's two directions
        state[YAW] += parallel * -math.expm1(-dt / car.wall_alignment)
    state[SPEED] = math.copysign(max(0.0, abs(speed) - car.wall_friction * dt), speed)
    return True


@cached
def _run(
    state: NDArray[np.float64],
    road: _Road,
    parameters: tuple[Any, ...],
    steering: float,
    throttle: float,
    dt: float,
    steps: int,
) -> None:
    """``steps`` physics steps of ``dt`` seconds under one control."""
    line, ground, car = CentreLine(*road[0]), Ground(*road[1]), CarParameters(*parameters)
    for _ in range(steps):
        before, offset, height = state[S], state[OFFSET], state[Z]
        overhang = abs(offset) + 0.5 * car.track_width - line.half_width
        off_road = min(1.0, max(0.0, overhang / car.track_width))
        if state[AIR] > 0.0:  # wheels in the air neither steer nor drive
            state[YAW_RATE] = 0.0
            along, aside, yaw = state[SPEED] * dt, state[SIDEWAYS] * dt, state[YAW]
            state[X] += along * math.cos(yaw) - aside * math.sin(yaw)
            state[Y] += along * math.sin(yaw) + aside * math.cos(yaw)
        else:
            advance(state, steering, throttle, dt, state[PITCH], off_road, car)
        _observe(state, line, before, car)
        if _collide(state, line, offset, dt, car):
            _observe(state, line, before, car)
        state[AIR] = 1.0 if _stand(state, line, ground, height, dt, car) else 0.0
        half = 0.5 * line.length
        state[PROGRESS] += (state[S] - before + half) % line.length - half


@cached
def _run_all(
    states: NDArray[np.float64],
    road: _Road,
    parameters: tuple[Any, ...],
    controls: NDArray[np.float64],
    dt: float,
    steps: int,
) -> None:
    """`_run` for cars of one kind on one road: (n, WORLD_STATE) states, (n, 2) steering and throttle."""
    for i in range(states.shape[0]):
        _run(states[i], road, parameters, controls[i, 0], controls[i, 1], dt, steps)


@lru_cache(maxsize=KEPT_ROADS)
def _road(track: Track) -> _Road:
    """A track as the car feels it: its centre line, with cliffs for walls, and the ground beside it."""
    ground = ground_of(track)
    left, right = cliffs(track, ground)
    line = track.line._replace(
        wall_left=np.minimum(track.line.wall_left, left),
        wall_right=np.minimum(track.line.wall_right, right),
    )
    return tuple(line), tuple(ground)


@dataclass(frozen=True)
class Snapshot:
    """Everything that the future of a world depends on besides the controls to come."""

    state: NDArray[np.float64]
    control: Control
    steps: int
    generator: dict[str, Any]
    direction: str


class World:
    """One car on one track.

    Every control step is cut into equal physics steps that are no longer than ``max_sim_dt``, so there
    is no phase between the two to remember.

    Attributes:
        track: the track, in the direction of this episode.
        car: the kind of car.
        ctrl_dt: s of one control step.
        sim_dt: s of one physics step.
        control: the control in force.
        generator: source of the episode's random numbers.
    """

    def __init__(
        self,
        track: Track,
        ctrl_dt: float = CTRL_DT,
        max_sim_dt: float = 0.02,
        car: CarParameters | None = None,
    ) -> None:
        """Build a world; `reset` puts the car into it.

        Raises:
            OptionError: A period is not a positive number.
        """
        for name, value in (("ctrl_dt", ctrl_dt), ("max_sim_dt", max_sim_dt)):
            check_number(name, value, positive=True)
        self.track = self._home = track
        self.car = CarParameters() if car is None else car
        self.ctrl_dt = ctrl_dt
        self._substeps = math.ceil(ctrl_dt / max_sim_dt - 1e-9)
        self.sim_dt = ctrl_dt / self._substeps
        self.control = Control()
        self._state = np.full(WORLD_STATE, np.nan)
        self._steps = 0
        self.generator = np.random.default_rng()

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Put the car at the start, or where the options say.

        Every number may also be a pair (low, high), from which this world's generator draws evenly.

        Args:
            seed: seed of the generator; None goes on with the present one.
            options: any of
                "mode" ("autonomous" or "training": which of the track's start poses),
                "direction" ("forward" or "reverse", for this episode),
                "s" (m along the track; "random" is anywhere on the lap),
                "offset" (m right of the centre line, on the road),
                "heading_error" (rad by which the car points right of the track, [-pi, pi]) and
                "speed" (m/s). Without "s" and "offset" the car stands at the start pose; with "s"
                alone on the reference line; in both cases straight and at rest.

        Raises:
            OptionError: An option is unknown or out of range.
        """
        start = options or {}
        track = self._home.facing(start.get("direction"))
        ranges = read_start(start, track, self.car)
        generator = np.random.default_rng(seed) if seed is not None else copy.deepcopy(self.generator)
        s, offset, heading_error, speed = (
            low if low == high else float(generator.uniform(low, high)) for low, high in ranges
        )

        self.generator, self.track = generator, track
        pose = track.pose_at(s, offset, heading_error)
        state = np.zeros(WORLD_STATE)
        state[X], state[Y], state[YAW] = pose.x, pose.y, pose.yaw
        standing_start(state, speed, self.car)
        line, _ = _road(track)
        _observe(state, CentreLine(*line), track.wrap(s), self.car)
        self._state, self._steps, self.control = state, 0, Control()

    def step(self, control: Control) -> None:
        """Drive for ``ctrl_dt`` seconds under one control.

        Raises:
            SimulatorError: `reset` was never called.
        """
        if math.isnan(self._state[X]):
            raise SimulatorError("the world has no car yet: call reset() before step()")
        _run(
            self._state,
            _road(self.track),
            tuple(self.car),
            control.steering,
            control.throttle,
            self.sim_dt,
            self._substeps,
        )
        self._steps += 1
        self.control = control

    @staticmethod
    def step_together(worlds: Sequence[World], controls: Sequence[Control]) -> None:
        """Drive several cars, each in a world of its own, as `step` would: those of one kind in one loop.

        Args:
            worlds: different worlds.
            controls: of each.

        Raises:
            SimulatorError: `reset` was never called for one of them; none has moved then.
        """
        alike: dict[Any, list[int]] = {}
        for i, world in enumerate(worlds):
            if math.isnan(world._state[X]):
                raise SimulatorError("the world has no car yet: call reset() before step()")
            alike.setdefault((world.track, world.car, world.sim_dt, world._substeps), []).append(i)
        commands = np.array([(control.steering, control.throttle) for control in controls])
        for (track, car, dt, steps), members in alike.items():
            states = np.array([worlds[i]._state for i in members])
            _run_all(states, _road(track), tuple(car), commands[members], dt, steps)
            for i, state in zip(members, states, strict=True):
                worlds[i]._state = state
        for world, control in zip(worlds, controls, strict=True):
            world._steps += 1
            world.control = control

    @property
    def time(self) -> float:
        """Simulated s since `reset`."""
        return self._steps * self.ctrl_dt

    @property
    def speed(self) -> float:
        """m/s, whatever the direction in which the car slides; negative if it moves backwards."""
        along, aside = self._state[SPEED : SIDEWAYS + 1].tolist()
        return math.copysign(math.hypot(along, aside), along)

    @property
    def pose(self) -> Pose:
        """Where the car stands."""
        x, y, yaw = self._state[: YAW + 1].tolist()
        z, pitch, roll = self._state[Z:].tolist()
        return Pose(x, y, z, math.atan2(math.sin(yaw), math.cos(yaw)), pitch, roll)

    @property
    def track_state(self) -> TrackState:
        """Where the car is relative to the track's reference line."""
        s, offset, heading_error, curvature, progress = self._state[S : PROGRESS + 1].tolist()
        half = 0.5 * self.car.track_width * abs(math.cos(heading_error))
        rear = -self.car.rear_axle * math.sin(heading_error)
        front = rear + self.car.wheelbase * math.sin(heading_error)
        outermost = half + max(offset + max(front, rear), -offset - min(front, rear))
        return TrackState(
            s=s,
            cte=offset - self.track.reference_offset,
            heading_error=heading_error,
            curvature=curvature,
            progress=progress,
            lap=max(0, math.floor(progress / self.track.length)),
            offroad=abs(offset) > self.track.half_width,
            off_lane=outermost > self.track.lane_half_width,
        )

    def snapshot(self) -> Snapshot:
        """Take a copy of the present moment."""
        return Snapshot(
            self._state.copy(),
            self.control,
            self._steps,
            dict(self.generator.bit_generator.state),
            self.track.direction,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a moment taken with `snapshot` from a world with the same track, car and periods."""
        self.track = self._home.facing(snapshot.direction)
        self._state = snapshot.state.copy()
        self.control = snapshot.control
        self._steps = snapshot.steps
        self.generator.bit_generator.state = snapshot.generator


def fastest(car: CarParameters) -> float:
    """The speed, forwards or backwards, that a car can reach on any slope, m/s.

    The cap of `advance` lets a car be faster by what the engine and gravity add in a step of Unity.
    """
    return car.top_speed + CAP_PERIOD * (max(car.engine, car.reverse) + GRAVITY)


RESET_OPTIONS = ("mode", "direction", "s", "offset", "heading_error", "speed")
"""Names that `World.reset` knows."""


def read_start(
    options: Mapping[str, Any], track: Track, car: CarParameters
) -> tuple[tuple[float, float], ...]:
    """Check reset options, see `World.reset`.

    Args:
        options: the options.
        track: the track, in the direction of the episode.
        car: the kind of car.

    Returns:
        Pairs (low, high) between which "s", "offset", "heading_error" and "speed" are drawn, in this order.

    Raises:
        OptionError: An option is unknown or out of range.
    """
    unknown = sorted(set(options) - set(RESET_OPTIONS))
    if unknown:
        raise OptionError(
            f"unknown reset option {', '.join(map(repr, unknown))}; known are {', '.join(RESET_OPTIONS)}"
        )
    mode = options.get("mode", "autonomous")
    if not isinstance(mode, str) or mode not in track.starts:
        raise OptionError(
            f"reset option 'mode': no start pose {mode!r} on track {track.name!r}; "
            f"it has {', '.join(track.starts)}"
        )
    s, offset = track.starts[mode]
    where: Any = options.get("s", s)
    if isinstance(where, str) and where == "random":
        where = (0.0, track.length)
    if "s" in options:
        offset = track.reference_offset
    top = fastest(car)
    return (
        _read_range("s", where, -math.inf, math.inf),
        _read_range("offset", options.get("offset", offset), -track.half_width, track.half_width),
        _read_range("heading_error", options.get("heading_error", 0.0), -math.pi, math.pi),
        _read_range("speed", options.get("speed", 0.0), -top, top),
    )


def _read_range(name: str, value: Any, low: float, high: float) -> tuple[float, float]:
    """The ends of a numeric reset option: a number twice, or the pair that was given."""
    pair = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) and np.ndim(value) else (value, value)
    if len(pair) != 2 or not all(map(is_number, pair)):
        also = " or 'random'" if name == "s" else ""
        raise OptionError(
            f"reset option {name!r} must be a finite number or a pair (low, high){also}, got {value!r}"
        )
    first, last = map(float, pair)
    if first > last:
        raise OptionError(f"reset option {name!r} must be a pair (low, high) with low <= high, got {value!r}")
    if not low <= first <= last <= high:
        raise OptionError(f"reset option {name!r} must lie within [{low:.4g}, {high:.4g}], got {value!r}")
    return first, last
