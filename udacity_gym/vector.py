"""Many cars in one process: physics in one compiled loop, all images of a step in one call of the renderer.

envs = gymnasium.make_vec("UdacitySim-v0", num_envs=8, vectorization_mode="vector_entry_point")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from udacity_gym.checks import check_integer
from udacity_gym.env import UdacityEnv, read_action
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.observer import Observation
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.telemetry import CTRL_DT, split_name
from udacity_gym.world.physics.world import World
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from gymnasium.vector import AutoresetMode

    from udacity_gym.world.rendering.camera import Planes

    _VectorEnv = VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]
else:
    _VectorEnv = VectorEnv
    try:
        from gymnasium.vector import AutoresetMode
    except ImportError:  # before gymnasium 1.1

        class AutoresetMode(Enum):
            """When cars whose episode has ended start the next one, see `UdacityVectorEnv`."""

            NEXT_STEP = "NextStep"
            SAME_STEP = "SameStep"
            DISABLED = "Disabled"


_BEFORE_1_0 = hasattr(VectorEnv, "step_async")
FINAL_OBSERVATION = "final_observation" if _BEFORE_1_0 else "final_obs"
"""Under which name infos keep the last observation of an episode, which gymnasium 1.0 has changed."""


class UdacityVectorEnv(_VectorEnv):
    """Many `UdacityEnv` in one, each with a car of its own: observations, rewards and infos come in batches.

    Car ``i`` does what a `UdacityEnv` with the same arguments, seed and actions does, to the last bit; it
    costs less, as all cars are moved by one compiled loop and drawn by one call of the renderer. It runs on
    one core; for more of them, start more processes.

    Args:
        num_envs: number of cars.
        copy: whether observations are copies. Without, every step overwrites what the last one returned.
        autoreset_mode: when a car whose episode has ended starts the next one, `AutoresetMode` or its value:
            "NextStep", in the next step, whose action and reward (0) don't count; "SameStep", at once, with
            the last observation and info in ``infos["final_obs"]`` and ``infos["final_info"]``
            ("final_observation" before gymnasium 1.0); "Disabled", when `reset` is called with
            ``options={"reset_mask": mask}``. None is gymnasium's default: "NextStep", before 1.0 "SameStep".
        max_episode_steps: steps after which episodes are truncated; None is never. (``gymnasium.make_vec``
            has it by this name; it is the same as ``max_seconds``.)
        **arguments: those of `UdacityEnv`; the simulator is the embedded one. All cars have the same. `start`
            and several tracks hold for every episode of every car, `options` of `reset` for one.

    Attributes:
        envs: the environment of each car. Read from them; stepped or reset on their own they get out of step.
        infos: info of each car for the last step, as its own environment gives it; that of a car whose
            episode ended in this step is the last one of the episode.
        reset_infos: info of each car for the beginning of its episode.
        autoreset_mode: as above.

    Raises:
        OptionError: An argument is none of these, or out of range.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        copy: bool = True,
        autoreset_mode: AutoresetMode | str | None = None,
        max_episode_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        self.num_envs = check_integer("num_envs", num_envs, 1)
        self.copy = copy
        self.autoreset_mode = _read_mode(autoreset_mode)
        if arguments.get("simulator", "embedded") != "embedded":
            raise OptionError(
                f"a vector environment has the embedded simulator, not {arguments['simulator']!r}; for "
                "others use gymnasium.vector.AsyncVectorEnv over UdacityEnv, each with a port of its own"
            )
        if arguments.get("render_mode") == "human":
            raise OptionError(
                'a vector environment opens no windows: use render_mode="rgb_array", or one UdacityEnv'
            )
        tracks = arguments.get("track", "lake")
        several = isinstance(tracks, Sequence) and not isinstance(tracks, str)
        arguments["track"] = [Track.load(track) for track in tracks] if several else Track.load(tracks)
        if max_episode_steps is not None:
            steps = check_integer("max_episode_steps", max_episode_steps, 1)
            seconds = steps * arguments.get("ctrl_dt", CTRL_DT)
            arguments["max_seconds"] = min(seconds, arguments.get("max_seconds") or seconds)
        self.envs = [UdacityEnv(**arguments) for _ in range(self.num_envs)]
        self._simulators = [cast("EmbeddedSimulator", env.simulator) for env in self.envs]
        for simulator in self._simulators[1:]:
            simulator.share_renderers(self._simulators[0])
        first = self.envs[0]
        self.render_mode = first.render_mode
        self.metadata = {**first.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        self.closed = False
        self.viewer = None  # what gymnasium looks for before 1.0
        self.is_vector_env = True
        self.infos: list[dict[str, Any]] = [{} for _ in self.envs]
        self.reset_infos: list[dict[str, Any]] = [{} for _ in self.envs]
        self._ended = np.zeros(self.num_envs, np.bool_)
        self._started = np.zeros(self.num_envs, np.bool_)
        self._planes: Planes | None = None
        self._observations: Observation | None = None

    def reset(  # type: ignore[override, unused-ignore]
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: of the first car, the others have those that follow; or one for each, or None.
            options: where to start, see `UdacityEnv`; for all cars, or a sequence with those of each.
                Besides, "reset_mask": (num_envs,) bool, which cars are reset; the others continue.

        Returns:
            Observations of all cars, and infos of those that were reset.

        Raises:
            OptionError: An option is unknown or out of range, or there are not as many as cars.
        """
        seeds: Sequence[int | None] = (
            seed if isinstance(seed, Sequence) else [None if seed is None else seed + i for i in self._cars]
        )
        mask = np.ones(self.num_envs, np.bool_)
        if isinstance(options, Mapping) and "reset_mask" in options:
            mask = _read_mask(options["reset_mask"], self.num_envs)
            options = {name: value for name, value in options.items() if name != "reset_mask"}
        each = options if isinstance(options, Sequence) else [options] * self.num_envs
        for name, given in (("seed", seeds), ("options", each)):
            if len(given) != self.num_envs:
                raise OptionError(f"{name} must be one for each of {self.num_envs} cars, got {len(given)}")
        members = np.flatnonzero(mask).tolist()
        for i in members:
            self.infos[i] = self._begin(i, seeds[i], each[i])
            self._started[i], self._ended[i] = True, False
        self._check_started()
        self._update_observations(members)
        infos = [self.infos[i] if mask[i] else {} for i in self._cars]
        return self._batch(), gather_infos(infos)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Drive all cars for ``ctrl_dt`` seconds.

        Args:
            actions: (num_envs, 2) float32 (steering, throttle); beyond [-1, 1] they are clipped.

        Returns:
            Observations; (num_envs,) float64 rewards; (num_envs,) bool terminated; (num_envs,) bool
            truncated; infos in gymnasium's format: for each name an array of all cars' values, under
            ``"_" + name`` a mask of the cars that have it.

        Raises:
            ActionError: The actions have another shape or are not finite; no car has moved then.
            ResetNeeded: `reset` was never called; or an episode has ended and autoreset is disabled.
        """
        self._check_started()
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            ended = np.flatnonzero(self._ended).tolist()
            raise ResetNeeded(
                f"the episodes of cars {ended} have ended, and autoreset is disabled: "
                'call reset(options={"reset_mask": terminated | truncated}) before the next step()'
            )
        if np.shape(actions) != (self.num_envs, 2):
            raise ActionError(
                f"actions have shape ({self.num_envs}, 2), (steering, throttle) for each car; "
                f"these have shape {np.shape(actions)}"
            )
        driving = [i for i in self._cars if not self._ended[i]]
        controls = [read_action(actions[i]) for i in driving]
        World.step_together([self._simulators[i].world for i in driving], controls)

        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = np.zeros(self.num_envs, np.bool_)
        for i, env in enumerate(self.envs):
            if self._ended[i]:
                self.infos[i] = self._begin(i)
            else:
                after = self._simulators[i].telemetry()
                rewards[i], terminated[i], truncated[i], self.infos[i] = env._score(after)
        self._update_observations(self._cars)
        over = terminated | truncated
        infos = list(self.infos)
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            restarted = np.flatnonzero(over).tolist()
            for i in restarted:
                last = {FINAL_OBSERVATION: self._observation_of(i), "final_info": infos[i]}
                infos[i] = last | self._begin(i)
            self._update_observations(restarted)
        else:
            self._ended = over
        return self._batch(), rewards, terminated, truncated, gather_infos(infos)

    def step_cars(
        self, cars: Sequence[int], actions: Sequence[Any]
    ) -> list[tuple[Observation, float, bool, bool, dict[str, Any]]]:
        """Drive some cars for ``ctrl_dt`` seconds; the others stand still, and nothing of them is drawn.

        For loops in which each car has its own episodes, which reset ``envs[i]`` themselves, such as
        `udacity_gym.driving.drive_many`. Not to be mixed with `step`.

        Args:
            cars: numbers of different cars.
            actions: (steering, throttle) of each of them.

        Returns:
            What the environment's own ``step`` would return, for each of them.

        Raises:
            ActionError: An action has another shape or is not finite; no car has moved then.
            ResetNeeded: An environment was never reset.
        """
        if not cars:
            return []
        controls = [read_action(action) for action in actions]
        simulators = [self._simulators[i] for i in cars]
        World.step_together([simulator.world for simulator in simulators], controls)
        scores = [self.envs[i]._score(self._simulators[i].telemetry()) for i in cars]
        cameras = self.envs[0].cameras
        if not cameras:
            return [(self.envs[i]._observe(), *score) for i, score in zip(cars, scores, strict=True)]
        planes = simulators[0].planes(len(cars), len(cameras), self.envs[0].sensors)
        EmbeddedSimulator.draw_together(simulators, cameras, planes)
        images = self._named(planes)
        each: list[Observation] = [
            {name: image[k] for name, image in images.items()} if isinstance(images, dict) else images[k]
            for k in range(len(cars))
        ]
        return [(observation, *score) for observation, score in zip(each, scores, strict=True)]

    def render(self) -> tuple[Any, ...]:
        """What each car's environment renders."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each car's environment, or read an attribute."""
        values = [getattr(env, name) for env in self.envs]
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Read an attribute of each car's environment."""
        return tuple(getattr(env, name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each car's environment: one value for all, or a list with one for each."""
        each = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise OptionError(f"{name} needs one value for each of {self.num_envs} cars, got {len(each)}")
        for env, value in zip(self.envs, each, strict=True):
            setattr(env, name, value)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the simulators."""
        for env in self.envs:
            env.close()

    @property
    def _cars(self) -> range:
        return range(self.num_envs)

    def _check_started(self) -> None:
        if not self._started.all():
            raise ResetNeeded("call reset() for all cars before the first step()")

    def _begin(self, car: int, seed: int | None = None, options: Any = None) -> dict[str, Any]:
        self.reset_infos[car] = self.envs[car]._reset_state(seed, options)
        return self.reset_infos[car]

    def _update_observations(self, members: Sequence[int]) -> None:
        """Update the observations of some cars."""
        if not members:
            return
        cameras, sensors = self.envs[0].cameras, self.envs[0].sensors
        if not cameras:
            if self._observations is None:
                self._observations = np.zeros(self.observation_space.shape or (), np.float32)
            for i in members:
                cast("NDArray[Any]", self._observations)[i] = cast("NDArray[Any]", self.envs[i]._observe())
            return
        painter = self._simulators[0]
        if self._planes is None:
            self._planes = painter.planes(self.num_envs, len(cameras), sensors)
            self._observations = self._named(self._planes)
        if len(members) == self.num_envs:
            EmbeddedSimulator.draw_together(self._simulators, cameras, self._planes)
            return
        some = painter.planes(len(members), len(cameras), sensors)
        EmbeddedSimulator.draw_together([self._simulators[i] for i in members], cameras, some)
        for name, plane in self._planes.items():
            plane[:, members] = some[name]

    def _named(self, planes: Planes) -> Observation:
        """The planes as the observation space has them."""
        space, cameras = self.single_observation_space, self.envs[0].cameras
        if not isinstance(space, gymnasium.spaces.Dict):
            whole: NDArray[Any] = planes[None][0]
            return whole
        named = {}
        for name in space.spaces:
            camera, sensor = split_name(name)
            named[name] = planes[sensor][cameras.index(camera)]
        return named

    def _batch(self) -> Observation:
        observations = cast("Observation", self._observations)
        if not self.copy:
            return observations
        return (
            {name: array.copy() for name, array in observations.items()}
            if isinstance(observations, dict)
            else observations.copy()
        )

    def _observation_of(self, car: int) -> Observation:
        observations = cast("Observation", self._observations)
        if isinstance(observations, dict):
            return {name: array[car].copy() for name, array in observations.items()}
        own: NDArray[Any] = observations[car].copy()
        return own


def gather_infos(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine infos of several environments in gymnasium's format.

    Args:
        infos: info of each environment; they can have different names.

    Returns:
        Name to an array with a value for each environment, 0 or None where it has none, and ``"_" + name``
        to a bool mask of those that have it. Mappings become such mappings themselves.
    """
    n = len(infos)
    gathered: dict[str, Any] = {}
    if not infos:
        return gathered
    alike = all(info.keys() == infos[0].keys() for info in infos)  # nearly always, and quicker
    names = infos[0] if alike else dict.fromkeys(name for info in infos for name in info)
    for name in names:
        mask = np.ones(n, np.bool_) if alike else np.array([name in info for info in infos])
        values = [info[name] for info in infos if alike or name in info]
        first = values[0]
        column: Any
        as_it_is = name == FINAL_OBSERVATION or (name == "final_info" and _BEFORE_1_0)
        if isinstance(first, dict) and not as_it_is:
            column = gather_infos([info.get(name, {}) for info in infos])
        elif isinstance(first, (bool, int, float, np.number)):
            column = np.zeros(n, type(first))
            column[mask] = values
        elif isinstance(first, np.ndarray) and not as_it_is:
            column = np.zeros((n, *first.shape), first.dtype)
            column[mask] = values
        else:
            column = np.full(n, None, dtype=object)
            for i, value in zip(np.flatnonzero(mask).tolist(), values, strict=True):
                column[i] = value
        gathered[name], gathered[f"_{name}"] = column, mask
    return gathered


def _read_mode(mode: Any) -> AutoresetMode:
    if mode is None:
        return AutoresetMode.SAME_STEP if _BEFORE_1_0 else AutoresetMode.NEXT_STEP
    try:
        return mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
    except ValueError:
        modes = ", ".join(repr(item.value) for item in AutoresetMode)
        raise OptionError(f"autoreset_mode must be one of {modes}, got {mode!r}") from None


def _read_mask(mask: Any, cars: int) -> NDArray[np.bool_]:
    if not isinstance(mask, np.ndarray) or mask.shape != (cars,) or mask.dtype != np.bool_ or not mask.any():
        raise OptionError(
            f"reset_mask must be a NumPy array of {cars} bool, at least one of them True, got {mask!r}"
        )
    return mask
