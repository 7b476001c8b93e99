"""Gymnasium environment for the Udacity simulator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from udacity_gym.checks import check_integer, check_number, is_number
from udacity_gym.conditions import FIELDS, ConditionsLike
from udacity_gym.driving.standstill import Standstill
from udacity_gym.errors import ActionError, OptionError, UdacityGymError
from udacity_gym.observer import Observation, Observer, check_sensors
from udacity_gym.rewards import DEFAULT_REWARDS, RewardTerm, Transition, compile_rewards, is_off_road
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.simulators import SimulatorSettings, make_simulator
from udacity_gym.simulators.base import KEPT_TRACKS
from udacity_gym.telemetry import CTRL_DT, VIEWS, Control, Image, Telemetry
from udacity_gym.window import Window, why_no_window
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.track.track import Track

DRAWN_OPTIONS = ("track", "direction", "mode")
"""Reset options that may be a sequence, from which each episode draws one."""
RENDER_SIZE = (800, 448)
"""Width and height of rendered images, pixels."""
KEEP_ALIVE_PERIOD = 0.25
"""s of real time between two images of a window while nobody drives."""


class UdacityEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Udacity's self-driving-car simulator: drive a car around a track from what its cameras see.

    ## Description
    A car with the dimensions, engine and steering of Udacity's car drives around a closed track. It has
    three cameras that look forward. The agent gets their images, and controls steering and throttle, 15
    times a second by default. The simulator stands still between two steps. This is the task of NVIDIA's
    "End to End Learning for Self-Driving Cars" (Bojarski et al. 2016) and of Udacity's course on
    behavioural cloning.

    ## Action Space
    `Box(-1, 1, (2,), float32)`:

    | Num | Action   | Unit                                                                    |
    |-----|----------|-------------------------------------------------------------------------|
    | 0   | steering | share of full lock (25 degrees at the front wheels); positive is right  |
    | 1   | throttle | share of full throttle; negative brakes, and reverses below 5 mph       |

    Actions outside [-1, 1] are clipped. The brakes are strong, as in Udacity's simulator: a throttle of
    -0.1 already brakes fully. To control steering only, use `udacity_gym.wrappers.SpeedControl`.

    ## Observation Space
    - One camera (the default): its image, `Box(0, 255, (160, 320, 3), uint8)`, RGB.
    - Several cameras: a `Dict` of camera names to images.
    - With `sensors`: a `Dict` of camera names to images, and for the same pixels depth and segmentation.
      `"center_depth"` is `Box(0, 1000, (160, 320), float32)`, m along the optical axis, 1000 for the sky.
      `"center_segmentation"` is `Box(0, 8, (160, 320), uint8)`, see `udacity_gym.sensors.Label`: sky 0, road
      1, lane marking 2, kerb 3, terrain 4, water 5, vegetation 6, structure 7 (walls, signs, tyres), car 8
      (the bonnet, with the depth of a plane 0.66 m below the camera). Rain and fog do not affect them.
    - No camera, `cameras=()`: a state vector, `Box(-1, 1, (10,), float32)`, for learning without images.
      No images are drawn. Each entry is divided by its scale and clipped to [-1, 1]:

    | Num | Entry             | Scale   | Meaning                                                    |
    |-----|-------------------|---------|------------------------------------------------------------|
    | 0   | `speed`           | 15 m/s  | negative in reverse                                        |
    | 1   | `steering`        | 1       | the command in force                                       |
    | 2   | `throttle`        | 1       | the command in force; negative is brake                    |
    | 3   | `cte`             | 5 m     | cross-track error, positive right of the reference line    |
    | 4   | `heading_error`   | pi rad  | positive if the car points to the right of the track       |
    | 5   | `curvature_0m`    | 0.1 1/m | of the reference line at the car; positive bends left      |
    | 6   | `curvature_5m`    | 0.1 1/m | 5 m ahead along the track                                  |
    | 7   | `curvature_10m`   | 0.1 1/m | 10 m ahead                                                 |
    | 8   | `curvature_20m`   | 0.1 1/m | 20 m ahead                                                 |
    | 9   | `curvature_40m`   | 0.1 1/m | 40 m ahead                                                 |

    ## Rewards
    The reward is the sum of named terms. The default terms are

    - `progress`: +1 per metre driven along the track, negative backwards;
    - `off_lane`: -2 per metre driven with a wheel over the edge line;
    - `off_road`: -100 once, for leaving the road.

    A clean lap of the lake earns its length, 1138. `rewards` takes other weights and your own terms, see
    `udacity_gym.rewards`. It replaces the default terms; `{**DEFAULT_REWARDS, ...}` adds to them.

    ## Starting State
    The car stands at the start pose of the track and `mode`. On the lake this is 267 m into the lap for
    "autonomous", and on the start line for "training". Two ways to start elsewhere: the argument `start`
    of the environment holds for every episode, also where a vector environment starts the next one by
    itself. `reset(options=...)` holds for one episode; its options replace those of `start` by name.

    ```python
    env = gym.make("UdacitySim-v0", start={"s": "random", "speed": (0, 6)}, track=["lake", "jungle"])
    ```

    The options of both:

    | Option          | Unit | Meaning                                                           |
    |-----------------|------|-------------------------------------------------------------------|
    | `mode`          |      | "autonomous" or "training"                                        |
    | `direction`     |      | "forward" or "reverse"                                            |
    | `track`         |      | name, path of a file, or `Track`                                  |
    | `conditions`    |      | other conditions than the argument `conditions`                   |
    | `s`             | m    | along the track, or "random": anywhere on the lap                 |
    | `offset`        | m    | right of the centre line; if only `s` is given, the reference line |
    | `heading_error` | rad  | in [-pi, pi], by which the car points to the right; 0 by default  |
    | `speed`         | m/s  | at the start; 0 by default                                        |

    Every field of `udacity_gym.conditions.Conditions` is also an option, and replaces this field of the
    conditions: `weather`, `intensity`, `time_of_day`, `sun_elevation`, `sun_azimuth`, `shadows`,
    `visibility`, `road_wear`, `grip`, `exposure`, `noise`, `jpeg`.

    Every number may be a pair `(low, high)`, from which a uniform random number is drawn. From a sequence of
    tracks, directions, modes, weathers, times or shadows, one is drawn. With the same seed,
    `options={"s": "random", "offset": (-1, 1), "speed": (0, 10)}` gives the same start.

    ## Episode End
    - Termination: the car's centre leaves the road surface (4.9 m from the centre line on the lake), or,
      with `stuck_seconds`, the car has not come 1 m further along the track for that long.
    - Truncation: `max_laps` laps are completed, or `max_seconds` have passed.

    By default none of these limits is set. An episode then lasts until the car leaves the road, for ever if
    the car stands still. For reinforcement learning, set `max_seconds=120`, one and a half laps of the lake,
    and `stuck_seconds=5`: an untrained policy mostly stands still.

    ## Other Simulators
    With `simulator="remote"`, or the path of a Unity build, the car drives in another simulator. This is
    Udacity's, in real time, or ours in another process (`udacity-gym sim`), in lock-step. Udacity's
    simulators do not send the car's position on the track. With them

    - `info` lacks the missing values; `cte` exists if the build sends it (term 2);
    - `progress` counts the metres driven; `off_lane` is 0; `off_road` and the termination use `cte`, or else
      the car being stuck: it has stood still under throttle for 5 s, reason "stuck";
    - laps are not counted (except by the research build); use `max_seconds` instead of `max_laps`;
    - missing entries of the state vector are 0;
    - a simulator that closes or crashes truncates the episode, reason "simulator_gone".

    `info["latency"]` has the timing of the connection, see `udacity_gym.simulators.remote.LatencyMeter`.
    In real time, `info["manual"]` is True while a human drives at the simulator's own keyboard. The
    environment stands still meanwhile. Other values that a simulator sends are in `info`, by the names in
    `udacity_gym.protocol.dialects`.

    ## Info
    | Key             | Unit | Meaning                                                                |
    |-----------------|------|------------------------------------------------------------------------|
    | `time`          | s    | simulated time since the episode began                                 |
    | `speed`         | m/s  | negative in reverse                                                    |
    | `steering`      |      | [-1, 1] command in force, positive right                               |
    | `throttle`      |      | [0, 1] in force                                                        |
    | `brake`         |      | [0, 1] in force                                                        |
    | `s`             | m    | along the track, [0, track length)                                     |
    | `cte`           | m    | cross-track error, positive right of the reference line                |
    | `heading_error` | rad  | [-pi, pi], positive if the car points to the right of the track        |
    | `curvature`     | 1/m  | of the reference line at `s`, positive bends left                      |
    | `progress`      | m    | driven along the track in this episode, negative backwards             |
    | `lap`           |      | completed laps in this episode                                         |
    | `offroad`       |      | bool: the car's centre has left the road surface                       |
    | `off_lane`      |      | bool: a wheel is over the edge line                                    |
    | `pose`          | m, rad | (4,) float64: x east, y north, z up, yaw counter-clockwise from +x   |
    | `track`         |      | name of the track of this episode                                      |
    | `conditions`    |      | dict of this episode's conditions, as drawn: fields of `Conditions`    |
    | `ctrl_dt`       | s    | duration of one step                                                   |
    | `reward_terms`  |      | dict of each reward term's share of this step's reward                 |
    | `end_reason`    |      | only in the last step: "off_road", "stuck", "max_laps", "max_seconds"  |

    The type of `info` is `udacity_gym.telemetry.Info`, and `Telemetry.from_info` reads it. `conditions` is a
    dict of numbers and strings, without the fields that are None. `Conditions.from_dict` reads it. To drive
    in the same conditions again, give it to `reset` as the option `conditions`.

    ## Arguments

    ```python
    >>> import gymnasium as gym
    >>> import udacity_gym
    >>> env = gym.make("UdacitySim-v0", cameras=("center", "left", "right"), max_laps=3)
    >>> observation, info = env.reset(seed=0)
    >>> sorted(observation)
    ['center', 'left', 'right']

    ```

    * `simulator="embedded"`: "embedded" is the simulator in this process, "remote" is a simulator that
      connects to this environment, and a path is a Unity build, which is started and ended.
    * `track="lake"`: name of a built-in track, path of a track file, or a `Track`; or a sequence of them,
      from which each episode draws one.
    * `cameras=("center",)`: any of "center", "left", "right", or none.
    * `ctrl_dt=1/15`: duration of a step in s, at most 1. It is divided into equal physics steps of at most
      0.02 s.
    * `max_laps=None`, `max_seconds=None`: limits after which an episode is truncated; None is no limit.
    * `mode="autonomous"`: Udacity's two modes differ in the start pose, and in the pitch of the body and
      thus the horizon: "training" is 1.8 degrees nose-up, as in every recording.
    * `host="127.0.0.1"`, `port=4567`: address at which a remote simulator connects.
    * `render_mode=None`: "rgb_array", or "human" for a window (needs a display, and pygame from
      `pip install "udacity-gym[human]"`). Where no window can be opened, `metadata` leaves "human" out.
    * `render_view="chase"`: what `render` shows, "chase" or "cockpit", with instruments drawn over it.
    * `direction=None`: "forward", or "reverse" for the other direction: `s`, `progress`, `lap`, `cte` and
      `heading_error` then refer to it, see `Track.reversed`. None is the direction of the given track.
    * `conditions=None`: weather, time of day, wear of the road, grip, exposure, noise, JPEG. A name such as
      "rain" or "dusk", `Conditions`, or a `Randomization` from which each episode draws, see
      `udacity_gym.conditions`. None looks like Udacity's simulator.
    * `sensors=()`: "depth", "segmentation" or both, for every camera.
    * `image_size=(160, 320)`: height and width in pixels, at which images are drawn.
    * `field_of_view=None`: vertical field of view in rad; None is Udacity's, 60 degrees.
    * `car=None`: `udacity_gym.world.CarParameters`, such as `CarParameters(top_speed=20.0)` in m/s; None is
      Udacity's car.
    * `start=None`: options of `reset` for every episode, see *Starting State*.
    * `stuck_seconds=None`: an episode is terminated when the car has not come 1 m further along the track
      for this many seconds; None is never.
    * `rewards=DEFAULT_REWARDS`: reward terms and their weights, see `udacity_gym.rewards`.
    * `simulator_options=None`: dict of options of the simulator: `jpeg` for the embedded one, the fields of
      `udacity_gym.simulators.remote.RemoteOptions` for others.

    The same seed and the same actions give the same bytes, including images.

    ## Many Cars
    `gymnasium.make_vec("UdacitySim-v0", num_envs=8, vectorization_mode="vector_entry_point")` drives several
    cars in one process and draws their images together, see `udacity_gym.vector.UdacityVectorEnv`.

    ## Version History
    - v0: Original version
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        simulator: str | Path = "embedded",
        track: str | Path | Track | Sequence[str | Path | Track] = "lake",
        cameras: Sequence[str] = ("center",),
        ctrl_dt: float = CTRL_DT,
        max_laps: int | None = None,
        max_seconds: float | None = None,
        mode: str = "autonomous",
        host: str = "127.0.0.1",
        port: int = 4567,
        render_mode: str | None = None,
        render_view: str = "chase",
        direction: str | None = None,
        conditions: ConditionsLike = None,
        sensors: Sequence[str] = (),
        image_size: tuple[int, int] = IMAGE_SIZE,
        field_of_view: float | None = None,
        car: CarParameters | None = None,
        start: Mapping[str, Any] | None = None,
        stuck_seconds: float | None = None,
        rewards: Mapping[str, float | RewardTerm] = DEFAULT_REWARDS,
        simulator_options: Mapping[str, Any] | None = None,
    ) -> None:
        problem = why_no_window()
        if render_mode == "human" and problem is not None:
            raise problem
        if render_view not in VIEWS:
            raise OptionError(f"render_view must be 'chase' or 'cockpit', got {render_view!r}")
        check_number("ctrl_dt", ctrl_dt, high=1.0, positive=True)
        if max_laps is not None:
            check_integer("max_laps", max_laps, 1)
        if max_seconds is not None:
            check_number("max_seconds", max_seconds, positive=True)
        if stuck_seconds is not None:
            check_number("stuck_seconds", stuck_seconds, positive=True)
        names = _names(cameras)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise OptionError(f"render_mode must be None, 'rgb_array' or 'human', got {render_mode!r}")
        self._terms = compile_rewards(rewards)
        self._tracks = tuple(Track.load(one).facing(direction) for one in _choices("track", track))
        self._track = self._tracks[0]
        settings = SimulatorSettings(
            track=self._track,
            ctrl_dt=ctrl_dt,
            mode=mode,
            host=host,
            port=port,
            cameras=names,
            conditions=conditions,
            image_size=image_size,
            field_of_view=field_of_view,
            car=car,
            kept_tracks=max(KEPT_TRACKS, len(self._tracks)),
            options=dict(simulator_options or {}),
        )
        self.simulator = make_simulator(str(simulator), settings)
        try:
            can = self.simulator.capabilities
            self.cameras = _check_cameras(names, can.cameras)
            self.sensors = check_sensors(sensors, names, can.sensors)
            self.start = start
        except UdacityGymError:
            self.simulator.close()  # it may hold a port
            raise
        self.ctrl_dt = settings.ctrl_dt
        self.conditions = settings.conditions
        """What it is like, or is drawn from, in episodes whose options say nothing else."""
        self.max_laps = max_laps
        self.max_seconds = max_seconds
        self.stuck_seconds = stuck_seconds
        self.render_mode = render_mode
        self.render_view = render_view
        self.metadata = {
            **type(self).metadata,
            "render_modes": ["rgb_array"] if problem is not None else ["rgb_array", "human"],
            "render_fps": max(1, round(1 / ctrl_dt)),
        }
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._observer = Observer(self.cameras, self.sensors, settings.image_size)
        self.observation_space = self._observer.space
        self.caption = ""
        """What rendered images say in their corner, such as who drives."""
        self._telemetry: Telemetry | None = None
        self._standstill = Standstill()
        self._window: Window | None = None

    @property
    def track(self) -> Track:
        """The track that the car drives on, in the direction of the episode."""
        return self._track

    @property
    def start(self) -> Mapping[str, Any]:
        """Options of `reset` for every episode; may be changed, such as for a curriculum.

        Raises:
            TrackError: No such track.
            OptionError: An option is unknown or out of range.
        """
        return self._start

    @start.setter
    def start(self, options: Mapping[str, Any] | None) -> None:
        start = _read_options("start", options)
        for choice in self._combinations(start):
            self.simulator.check_options(choice)
        self._start = start

    def tracks_for(self, options: Mapping[str, Any] | None = None) -> tuple[Track, ...]:
        """The tracks that an episode with some options of `reset` can be driven on, each in its direction.

        Raises:
            TrackError: No such track.
            OptionError: There is no such direction.
        """
        choices = self._combinations({**self._start, **(options or {})})
        tracks = (Track.load(choice["track"]).facing(choice.get("direction")) for choice in choices)
        return tuple(dict.fromkeys(tracks))

    def _combinations(self, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The options with each track, direction and mode that may be drawn."""
        given = {"track": self._tracks, **options}
        names = [name for name in DRAWN_OPTIONS if name in given]
        for values in itertools.product(*(_choices(name, given[name]) for name in names)):
            yield {**options, **dict(zip(names, values, strict=True))}

    def _draw_options(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Options of the next episode: those of `start` and those given, with what is drawn here."""
        changes = _read_options("options", given)
        others = FIELDS if "conditions" in changes else ()  # conditions that are given are complete
        options = {name: value for name, value in self._start.items() if name not in others} | changes
        if "track" not in options and len(self._tracks) > 1:
            track = self._tracks[int(self.np_random.integers(len(self._tracks)))]
            options = {"track": track, "direction": track.direction, **options}
        for name in DRAWN_OPTIONS:
            choices = _choices(name, options[name]) if name in options else ()
            if choices:  # nothing is drawn for a single one, which leaves all other draws as they are
                options[name] = choices[int(self.np_random.integers(len(choices))) if len(choices) > 1 else 0]
        return options

    @property
    def telemetry(self) -> Telemetry | None:
        """What the simulator last said, images of all its cameras included; None before `reset`."""
        return self._telemetry

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: seed of the episode's random numbers; None goes on with the present generator.
            options: where to start, see the class.

        Returns:
            The first observation and its info.

        Raises:
            OptionError: An option is unknown or out of range.
        """
        info = self._reset_state(seed, options)
        return self._observe(), info

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Drive for ``ctrl_dt`` seconds.

        Args:
            action: (2,) float32 (steering, throttle); beyond [-1, 1] it is clipped.

        Returns:
            Observation caused by the action, reward, terminated (off the road), truncated (laps or
            time used up), info.

        Raises:
            ActionError: The action has another shape or is not finite.
            ResetNeeded: `reset` was never called.
        """
        self._present()
        reward, terminated, truncated, info = self._score(self.simulator.step(read_action(action)))
        return self._observe(), reward, terminated, truncated, info

    def _reset_state(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start an episode without looking: `reset` but for the observation.

        Returns:
            The info of `reset`.

        Raises:
            OptionError: An option is unknown or out of range.
        """
        super().reset(seed=seed)
        # One generator, gymnasium's, is the root of all randomness: the simulator's seed comes from it.
        episode = self._draw_options(options)
        telemetry = self.simulator.reset(int(self.np_random.integers(2**63)), episode)
        _check_cameras(self.cameras, self.simulator.capabilities.cameras)  # who connected may have less
        self._telemetry = telemetry
        self._track = Track.load(episode.get("track", self._tracks[0])).facing(episode.get("direction"))
        if self.render_mode == "human":
            self._show()
        info = self._info(telemetry, dict.fromkeys(self._terms, 0.0))
        self._standstill = Standstill(telemetry.time, float(info.get("progress", 0.0)))
        return info

    def _score(self, after: Telemetry) -> tuple[float, bool, bool, dict[str, Any]]:
        """Say what a step is worth that led to a moment: `step` but for driving and the observation.

        Args:
            after: telemetry of that moment, which becomes the present one.

        Returns:
            Reward, terminated, truncated, info.

        Raises:
            ResetNeeded: `reset` was never called.
        """
        before, self._telemetry = self._present(), after
        if self.render_mode == "human":
            self._show()
        transition = Transition(before, after, self.ctrl_dt)
        terms = {name: _share(name, term(transition)) for name, term in self._terms.items()}
        info = self._info(after, terms)
        end = self._end_reason(after, info.get("progress"))
        if end is not None:
            info["end_reason"] = end
        terminated = end in ("off_road", "stuck")
        return float(sum(terms.values())), terminated, end is not None and not terminated, info

    def _observe(self) -> Observation:
        """What the agent sees of the present moment, fresh arrays.

        Raises:
            ResetNeeded: `reset` was never called.
        """
        return self._observer.observe(self._present(), self._track)

    def _present(self) -> Telemetry:
        if self._telemetry is None:
            raise ResetNeeded("call reset() before the first step()")
        return self._telemetry

    def render(self) -> Image | None:
        """Show the car from `render_view`, with instruments.

        Returns:
            (448, 800, 3) uint8 RGB with ``render_mode="rgb_array"``; None with "human", whose window
            follows every step by itself.

        Raises:
            ResetNeeded: `reset` was never called.
            KeyboardInterrupt: The window was closed.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() shows nothing without a render mode: "
                'gym.make("UdacitySim-v0", render_mode="rgb_array")'
            )
            return None
        if self.render_mode == "human":
            self._show()
            return None
        return self._draw()

    def keep_window_alive(self, caption: str) -> None:
        """Answer the window's events and show a caption while nobody drives, for example in training.

        Cheap enough to be called often: it draws four images per second at most, and does nothing without a
        window.

        Args:
            caption: text in the upper left corner.

        Raises:
            KeyboardInterrupt: The window was closed.
        """
        if self._window is not None and self._window.age >= KEEP_ALIVE_PERIOD:
            self.caption = caption
            self._show()

    def close(self) -> None:
        """Let go of the simulator and of the window; calling it twice is fine."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self.simulator.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None}

    def _draw(self) -> Image:
        from udacity_gym.overlay import draw_telemetry

        if self._telemetry is None:
            raise ResetNeeded("call reset() before the first render()")
        image = self.simulator.view(self.render_view, *RENDER_SIZE)
        return draw_telemetry(image, self._telemetry, self._track.length, self.caption)

    def _show(self) -> None:
        image = self._draw()
        if self._window is None:
            self._window = Window("udacity-gym", *RENDER_SIZE)
        self._window.show(image, self.metadata["render_fps"])

    def _info(self, telemetry: Telemetry, terms: dict[str, float]) -> dict[str, Any]:
        return {**telemetry.as_info(), "ctrl_dt": self.ctrl_dt, "reward_terms": terms}

    def _end_reason(self, telemetry: Telemetry, progress: float | None) -> str | None:
        track, extra = telemetry.track, telemetry.extra
        if "end_reason" in extra:
            return str(extra["end_reason"])
        if extra.get("stuck"):
            return "stuck"
        if is_off_road(telemetry):
            return "off_road"
        if self.stuck_seconds is not None and progress is not None:
            standing = self._standstill.update(telemetry.time, progress)
            if standing >= self.stuck_seconds - 1e-9:
                return "stuck"
        lap = track.lap if track is not None else extra.get("lap")
        if isinstance(lap, int) and self.max_laps is not None and lap >= self.max_laps:
            return "max_laps"
        if self.max_seconds is not None and telemetry.time >= self.max_seconds - 1e-9:
            return "max_seconds"
        return None


def read_action(action: Any) -> Control:
    """Check an action and turn it into a control.

    Raises:
        ActionError: It has another shape than (2,), or is not finite.
    """
    try:
        values = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError):
        raise ActionError(
            f"an action is (steering, throttle), two numbers in [-1, 1], got {action!r}"
        ) from None
    if values.shape == (1,):
        raise ActionError(
            "this action has one number, the environment wants two (steering, throttle); for steering alone "
            "wrap it: udacity_gym.wrappers.SpeedControl(env, target_speed=11.0) keeps the speed by itself"
        )
    if values.shape != (2,):
        raise ActionError(
            f"an action has shape (2,): (steering, throttle); this one has shape {values.shape}"
        )
    steering, throttle = values.tolist()
    if not (math.isfinite(steering) and math.isfinite(throttle)):
        raise ActionError(
            f"an action must be finite, got steering {steering}, throttle {throttle}; "
            "a network that gives NaN has usually diverged or was fed NaN"
        )
    return Control(min(1.0, max(-1.0, steering)), min(1.0, max(-1.0, throttle)))


def _share(name: str, value: Any) -> float:
    if not is_number(value):
        raise OptionError(f"reward term {name!r} must return a finite number, got {value!r}")
    return float(value)


def _choices(name: str, value: Any) -> tuple[Any, ...]:
    """The values from which an option is drawn: those of a sequence, or the only one."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return (value,)
    if not value:
        raise OptionError(f"{name!r} must have at least one choice, got {value!r}")
    return tuple(value)


def _read_options(name: str, options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise OptionError(f"{name} must be a mapping such as {{'s': 100.0}}, got {options!r}")
    return dict(options)


def _names(cameras: Any) -> tuple[str, ...]:
    if isinstance(cameras, Sequence) and not isinstance(cameras, str):
        return tuple(cameras)
    example = cameras if isinstance(cameras, str) else "center"
    raise OptionError(f"cameras must be a tuple of names, such as ({example!r},), got {cameras!r}")


def _check_cameras(cameras: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    unknown = [camera for camera in cameras if camera not in known]
    if unknown or len(set(cameras)) != len(cameras):
        raise OptionError(f"cameras must be different ones of {', '.join(known)}, got {tuple(cameras)!r}")
    return tuple(cameras)
