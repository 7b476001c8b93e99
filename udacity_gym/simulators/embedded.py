"""The simulator in this process: lock-step, deterministic, fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.simulators.base import Simulator
from udacity_gym.telemetry import CAMERAS, Capabilities, Control, Image, Telemetry
from udacity_gym.world.car import CarParameters
from udacity_gym.world.track import Track
from udacity_gym.world.world import Snapshot, World

if TYPE_CHECKING:
    from udacity_gym.world.camera import CameraRig

VIEWS = ("chase", "cockpit")
"""Names that `EmbeddedSimulator.view` knows."""


class EmbeddedSimulator(Simulator):
    """Udacity's car on a track, in this process.

    Pictures are drawn when somebody asks for them, from the pose that the telemetry froze; so the
    picture of a past step can still be drawn after the next one.

    Attributes:
        world: the car on the track.
        mode: "autonomous" (start further round the lap, level ride) or "training" (start line, the
            body rides nose-up), as in Udacity's simulator.
        jpeg: whether pictures are compressed.
    """

    def __init__(
        self,
        track: str | Path | Track = "lake",
        ctrl_dt: float = 1 / 15,
        mode: str = "autonomous",
        car: CarParameters | None = None,
        jpeg: bool = False,
    ) -> None:
        """Build the simulator; `reset` starts the first episode.

        Args:
            track: name of a built-in track, path of a track file, or a track.
            ctrl_dt: s of one control step.
            mode: "autonomous" or "training".
            car: the kind of car; None is Udacity's.
            jpeg: compress pictures as Udacity's simulator does, so that they equal what comes over the wire.

        Raises:
            TrackError: No such track.
            OptionError: ``ctrl_dt`` is not positive, or the track has no such mode.
        """
        loaded = track if isinstance(track, Track) else Track.load(track)
        if mode not in loaded.starts:
            raise OptionError(f"mode must be one of {', '.join(map(repr, loaded.starts))}, got {mode!r}")
        self.world = World(loaded, ctrl_dt=ctrl_dt, car=car)
        self.ctrl_dt = ctrl_dt
        self.mode = mode
        self.jpeg = jpeg
        self._riding = mode
        self._rig: CameraRig | None = None

    @property
    def capabilities(self) -> Capabilities:
        """It can do everything."""
        return Capabilities(
            cameras=CAMERAS,
            can_reset=True,
            can_place=True,
            has_pose=True,
            has_track=True,
            is_lockstep=True,
            is_deterministic=True,
        )

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Telemetry:
        """Start an episode.

        Args:
            seed: seed of the draws among the options; None goes on with the present generator.
            options: see `World.reset`; "mode" also chooses how the body rides in this episode.

        Returns:
            Telemetry at time 0.

        Raises:
            OptionError: An option is unknown or out of range.
        """
        start = {"mode": self.mode, **(options or {})}
        self.world.reset(seed, start)
        self._riding = start["mode"]
        return self._telemetry()

    def step(self, control: Control) -> Telemetry:
        """Apply ``control`` for ``ctrl_dt`` seconds.

        Returns:
            Telemetry caused by the control.

        Raises:
            SimulatorError: It was never reset.
        """
        self.world.step(control)
        return self._telemetry()

    def view(self, name: str, width: int, height: int) -> Image:
        """Draw a picture for people, from a camera that the car does not have.

        Args:
            name: "chase" (from behind and above) or "cockpit" (through the windscreen).
            width: pixels.
            height: pixels.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            SimulatorError: There is no such view.
        """
        if name not in VIEWS:
            raise SimulatorError(f"no view {name!r}; there are {', '.join(map(repr, VIEWS))}")
        picture: Image = self._camera_rig().view(
            name, self.world.pose, width, height, steering=self.world.control.steering
        )
        return picture

    def snapshot(self) -> tuple[Snapshot, str]:
        """Take a copy of the present moment, for `restore`."""
        return self.world.snapshot(), self._riding

    def restore(self, snapshot: tuple[Snapshot, str]) -> Telemetry:
        """Go back to a moment; the future from there is the same again.

        Returns:
            Telemetry of that moment.
        """
        moment, self._riding = snapshot
        self.world.restore(moment)
        return self._telemetry()

    def close(self) -> None:
        """Let go of the renderer."""
        self._rig = None

    def _camera_rig(self) -> CameraRig:
        """The renderer, built when the first picture is asked for."""
        if self._rig is None:
            from udacity_gym.world.camera import CameraRig

            self._rig = CameraRig(self.world.track)
        return self._rig

    def _telemetry(self) -> Telemetry:
        pose, riding, control = self.world.pose, self._riding, self.world.control

        def draw(cameras: Sequence[str]) -> dict[str, Image]:
            pictures: dict[str, Image] = self._camera_rig().draw_all(pose, tuple(cameras), riding)
            if self.jpeg:
                from udacity_gym.protocol.pictures import through_jpeg

                return {camera: through_jpeg(picture) for camera, picture in pictures.items()}
            return pictures

        return Telemetry(
            time=self.world.time,
            speed=self.world.speed,
            steering=control.steering,
            throttle=max(0.0, control.throttle),
            brake=max(0.0, -control.throttle),
            pose=pose,
            track=self.world.track_state,
            cameras=CAMERAS,
            draw=draw,
        )
