"""The simulator in this process: lock-step, deterministic, fast."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from udacity_gym.conditions import FIELDS, Conditions, Randomization, read_conditions
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.simulators.base import Simulator, SimulatorSettings
from udacity_gym.telemetry import (
    CAMERAS,
    SENSORS,
    VIEWS,
    Capabilities,
    Control,
    Image,
    Pose,
    Telemetry,
)
from udacity_gym.world.physics.world import RESET_OPTIONS as PLACING, Snapshot, World, read_start
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from udacity_gym.world.rendering.camera import CameraRig, Planes


RESET_OPTIONS = (*PLACING[:2], "track", "conditions", *PLACING[2:])
"""Names that `EmbeddedSimulator.reset` knows besides the fields of `Conditions`."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """Draws what the cameras saw at one moment."""

    simulator: EmbeddedSimulator
    track: Track
    pose: Pose
    mode: str
    conditions: Conditions
    seed: int

    def __call__(self, cameras: Sequence[str]) -> dict[str, NDArray[Any]]:
        rig = self.simulator._camera_rig(self.track)
        images = rig.draw_all(self.pose, tuple(cameras), self.mode, self.conditions, self.seed)
        if self.simulator.jpeg:
            from udacity_gym.protocol.images import through_jpeg

            images |= {name: through_jpeg(images[name]) for name in images if name in CAMERAS}
        return images


@dataclass(frozen=True, slots=True)
class SimulatorSnapshot:
    """Everything that future telemetry depends on besides future controls."""

    world: Snapshot
    track: Track
    mode: str
    conditions: Conditions
    seed: int


class EmbeddedSimulator(Simulator):
    """Udacity's car on a track, in this process.

    Images are drawn when somebody asks for them, from the pose that the telemetry froze; so the
    image of a past step can still be drawn after the next one.

    Attributes:
        world: the car on the track.
        mode: "autonomous" (start further along the lap, the car's body is level) or "training" (start line,
            the body is pitched up), as in Udacity's simulator; for episodes whose options have no "mode".
        jpeg: whether images are compressed.
        conditions: weather and light in this episode.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        """Build the simulator; `reset` starts the first episode.

        Args:
            settings: its settings; None takes the defaults. The only option is "jpeg": whether to compress
                images as Udacity's simulator does, so that they equal what comes over the wire.

        Raises:
            OptionError: There is no such option.
        """
        settings = settings or SimulatorSettings()
        unknown = sorted(set(settings.options) - {"jpeg"})
        if unknown:
            raise OptionError(
                f"unknown simulator option {', '.join(map(repr, unknown))}; the embedded one has jpeg"
            )
        track = Track.load(settings.track)
        self.world = World(track, ctrl_dt=settings.ctrl_dt, car=settings.car)
        self.ctrl_dt = settings.ctrl_dt
        self.mode = settings.mode
        self.jpeg = bool(settings.options.get("jpeg"))
        self.conditions = Conditions()
        self._default_conditions = read_conditions(settings.conditions)
        self._kept_tracks = settings.kept_tracks
        self._image_size = settings.image_size
        self._field_of_view = settings.field_of_view
        self._default_track, self._car = track, self.world.car
        self._mode = settings.mode  # of this episode
        self._seed = 0
        self._track = track  # of this episode, as its file has it, in whichever direction the car drives
        self._worlds = {track: self.world}
        self._rigs: dict[Track, CameraRig] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What this simulator can do: everything."""
        return Capabilities(
            cameras=CAMERAS,
            can_reset=True,
            can_place=True,
            has_pose=True,
            has_track=True,
            is_lockstep=True,
            is_deterministic=True,
            sensors=SENSORS,
        )

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Telemetry:
        """Start an episode.

        Args:
            seed: seed of the draws among the options; None goes on with the present generator.
            options: see `World.reset`; "mode" also chooses the pitch of the body in this episode. Also, for
                this episode, "track", "conditions", and any field of `Conditions`.

        Returns:
            Telemetry at time 0.

        Raises:
            TrackError: No such track.
            OptionError: An option is unknown or out of range.
        """
        track, conditions, start = self._read_options(options)
        self._drive_on(track, seed, start)
        generator = self.world.generator
        # Nothing is drawn for the default conditions, so that they leave all other draws as they are.
        self._set_conditions(conditions if isinstance(conditions, Conditions) else conditions.draw(generator))
        self._seed = 0 if self.conditions == Conditions() else int(generator.integers(2**32))
        self._mode = start["mode"]
        return self.telemetry()

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Check options of `reset` without starting an episode, see `Simulator.check_options`."""
        track, _, start = self._read_options(options)
        read_start(start, track.facing(start.get("direction")), self._car)

    def _read_options(
        self, options: Mapping[str, Any] | None
    ) -> tuple[Track, Conditions | Randomization, dict[str, Any]]:
        """The track and the conditions of an episode, and the options that place the car."""
        start = {"mode": self.mode, **(options or {})}
        unknown = [name for name in start if name not in (*RESET_OPTIONS, *FIELDS)]
        if unknown:
            raise OptionError(
                f"unknown reset option {', '.join(map(repr, unknown))}; known are "
                f"{', '.join(RESET_OPTIONS)}, and the fields of Conditions: {', '.join(FIELDS)}"
            )
        changes = {name: start.pop(name) for name in FIELDS if name in start}
        conditions = read_conditions(start.pop("conditions", self._default_conditions), **changes)
        track = Track.load(start.pop("track")) if "track" in start else self._default_track
        return track, conditions, start

    def _set_conditions(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.world.car = self._car.with_grip(conditions.grip)

    def _drive_on(self, track: Track, seed: int | None, start: Mapping[str, Any]) -> None:
        """Start on a track; if that fails, nothing changes."""
        world = self._worlds.get(track)
        if world is None:
            world = World(track, ctrl_dt=self.ctrl_dt, car=self._car)
            if len(self._worlds) > self._kept_tracks:
                self._worlds = {self._default_track: self._worlds[self._default_track]}
        world.generator = self.world.generator
        world.reset(seed, start)
        self._worlds[track] = self.world = world
        self._track = track

    def step(self, control: Control) -> Telemetry:
        """Apply ``control`` for ``ctrl_dt`` seconds.

        Returns:
            Telemetry caused by the control.

        Raises:
            SimulatorError: It was never reset.
        """
        self.world.step(control)
        return self.telemetry()

    def view(self, name: str, width: int, height: int) -> Image:
        """Draw an image for people, from a camera that the car does not have.

        Args:
            name: "chase" (from behind and above) or "cockpit" (through the windscreen).
            width: pixels.
            height: pixels.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            SimulatorError: There is no such view.
        """
        return self.view_later(name, width, height)()

    def view_later(self, name: str, width: int, height: int) -> Callable[[], Image]:
        """Take note of the present moment, to draw `view` of it later, in another thread if wanted.

        Args:
            name: see `view`.
            width: pixels.
            height: pixels.

        Returns:
            A function that draws the image, while the simulator may drive on.

        Raises:
            SimulatorError: There is no such view.
        """
        if name not in VIEWS:
            raise SimulatorError(f"no view {name!r}; there are {', '.join(map(repr, VIEWS))}")
        from udacity_gym.world.scene.car_body import CarState

        world, control = self.world, self.world.control
        car = CarState(control.steering, max(0.0, -control.throttle), world.track_state.s)
        moment = (world.pose, width, height, car, self.conditions, self._image_seed())
        return partial(self._camera_rig(world.track).view, name, *moment)

    def snapshot(self) -> SimulatorSnapshot:
        """Take a copy of the present moment, for `restore`."""
        return SimulatorSnapshot(self.world.snapshot(), self._track, self._mode, self.conditions, self._seed)

    def restore(self, snapshot: SimulatorSnapshot) -> Telemetry:
        """Go back to a snapshot; the same controls then give the same telemetry again.

        Returns:
            Telemetry of the snapshot.
        """
        self.world = self._worlds.setdefault(snapshot.track, World(snapshot.track, ctrl_dt=self.ctrl_dt))
        self._track, self._mode, self._seed = snapshot.track, snapshot.mode, snapshot.seed
        self._set_conditions(snapshot.conditions)
        self.world.restore(snapshot.world)
        return self.telemetry()

    def close(self) -> None:
        """Release the renderer."""
        self._rigs = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rigs": {}}  # built again when an image is asked for

    def _camera_rig(self, track: Track) -> CameraRig:
        """The renderer of a track, built when its first image is asked for."""
        rig = self._rigs.get(track)
        if rig is None:
            from udacity_gym.world.rendering.bonnet import FIELD_OF_VIEW
            from udacity_gym.world.rendering.camera import CameraRig

            height, width = self._image_size
            if len(self._rigs) >= self._kept_tracks:
                del self._rigs[next(iter(self._rigs))]
            rig = self._rigs[track] = CameraRig(track, width, height, self._field_of_view or FIELD_OF_VIEW)
        return rig

    def _image_seed(self) -> int:
        """Seed of what is random in the images of this moment."""
        return (self._seed + 0x9E3779B1 * round(self.world.time / self.ctrl_dt)) % 2**32

    def telemetry(self) -> Telemetry:
        """Describe the present moment."""
        pose, control = self.world.pose, self.world.control
        return Telemetry(
            time=self.world.time,
            speed=self.world.speed,
            steering=control.steering,
            throttle=max(0.0, control.throttle),
            brake=max(0.0, -control.throttle),
            pose=pose,
            track=self.world.track_state,
            conditions=self.conditions,
            cameras=CAMERAS,
            sensors=SENSORS,
            draw=_Draw(self, self.world.track, pose, self._mode, self.conditions, self._image_seed()),
            extra={"track": self.world.track.name},
        )

    @staticmethod
    def draw_together(
        simulators: Sequence[EmbeddedSimulator], cameras: Sequence[str], planes: Planes
    ) -> None:
        """Draw what the cameras of several cars see, with one call of the renderer for each track.

        Args:
            simulators: each with a car; made with the same image, field of view and jpeg.
            cameras: names of the cameras.
            planes: see `planes`; images and sensor readings, by camera and car.
        """
        from udacity_gym.world.rendering.camera import Shot

        if not simulators:
            return
        first = simulators[0]
        tracks: dict[Track, list[int]] = {}
        for i, simulator in enumerate(simulators):
            tracks.setdefault(simulator.world.track, []).append(i)
        for track, members in tracks.items():
            rig = first._camera_rig(track)
            shots = [
                Shot(car.world.pose, car._mode, car.conditions, car._image_seed())
                for car in (simulators[i] for i in members)
            ]
            if len(tracks) == 1:
                rig.shoot(shots, cameras, planes)
            else:  # the renderer fills whole arrays
                track_planes = rig.planes(len(members), len(cameras), planes.keys())
                rig.shoot(shots, cameras, track_planes)
                for name, plane in planes.items():
                    plane[:, members] = track_planes[name]
        if first.jpeg:
            from udacity_gym.protocol.images import through_jpeg

            for image in planes[None].reshape(-1, *planes[None].shape[2:]):
                image[:] = through_jpeg(image)

    def planes(self, cars: int, cameras: int, sensors: Collection[str | None] = ()) -> Planes:
        """Make the arrays that `draw_together` fills, see `CameraRig.planes`."""
        return self._camera_rig(self.world.track).planes(cars, cameras, sensors)

    def share_renderers(self, other: EmbeddedSimulator) -> None:
        """Draw with the renderers of another simulator, which must be used in the same thread."""
        self._rigs = other._rigs
