"""``udacity-gym sim``: run the simulator for a ``drive.py``, over Socket.IO."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from udacity_gym.cli.options import About
from udacity_gym.cli.shared import check_seed, positive
from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import CTRL_DT, Control
from udacity_gym.window import Window

if TYPE_CHECKING:
    from udacity_gym.simulators.base import Simulator

FRAMES_PER_IMAGE = 3
"""Frames of the simulator per image in the window; more would slow down the driver."""
WINDOW = (640, 360)
"""Width and height of the window, pixels."""
FRAME = 1 / 60
"""Duration of a frame, s."""


class KeyboardTakeover:
    """A human at the keyboard, as in Udacity's simulator: W and S take over and drive, A and D steer."""

    def __init__(self, window: Window) -> None:
        from udacity_gym.experts import Human, Reading

        self.window = window
        self._human = Human("keyboard")
        self._reading = Reading(0.0)
        self._frames = 0

    def __call__(self) -> Control | None:
        """Controls of the human, or None while neither W nor S is held."""
        reading = self._reading
        if not reading.throttle and not reading.brake:
            return None
        return Control(reading.steering, reading.throttle - reading.brake)

    def update(self, simulator: Simulator) -> None:
        """Read the keyboard and update the window; an ``on_step`` hook."""
        self._frames += 1
        if self._frames % FRAMES_PER_IMAGE == 0:
            self.window.show(simulator.view("chase", *WINDOW), 1000)
        self._reading = self._human.read(None, {"time": self._frames * FRAME})


@dataclass(frozen=True)
class Options:
    """Run the simulator for a program that drives it, such as drive.py.

    Connects to the port of the program, as Udacity's simulator does. In lock-step, the default, every command
    lasts --ctrl-dt seconds of simulated time, and the car waits for the next one. Ends when there has been no
    server for --patience seconds.
    """

    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    conditions: Annotated[str, About("weather and light, such as rain or dusk; clear is Udacity's")] = "clear"
    real_time: Annotated[bool, About("run in real time at 60 frames/s, like Udacity's simulator")] = False
    window: Annotated[bool, About("show the car; W, S, A, D take over; needs --real-time")] = False
    dialect: Annotated[
        Literal["term1", "term2", "research"],
        About("message format: term 1, PID build of term 2, udacity-gym's own"),
    ] = "term1"
    host: Annotated[str, About("address that the driver listens on")] = "127.0.0.1"
    port: Annotated[int, About("port the driver listens on")] = 4567
    culture: Annotated[str, About("format of numbers, such as de-DE, ar-SA or fa-IR")] = "en_US"
    mode: Annotated[
        Literal["autonomous", "training"], About("mode of Udacity's simulator: sets start pose and ride")
    ] = "autonomous"
    ctrl_dt: Annotated[float, About("seconds of simulated time per command, in lock-step")] = CTRL_DT
    seed: Annotated[int, About("seed of the simulator")] = 0
    patience: Annotated[float, About("seconds to wait for a driver to connect")] = 30.0
    track_files: Annotated[bool, About("let the driver choose track files of this machine by path")] = False
    announce: Annotated[bool, About("identify as udacity-gym to its own server, for exact lock-step")] = True


def run(options: Options) -> int:
    """Simulate."""
    positive(ctrl_dt=options.ctrl_dt, patience=options.patience)
    check_seed(options.seed)
    if options.window and not options.real_time:
        raise OptionError("--window requires --real-time")
    from udacity_gym.protocol.client import SimulatorClient
    from udacity_gym.simulators.base import SimulatorSettings
    from udacity_gym.simulators.embedded import EmbeddedSimulator
    from udacity_gym.world.track.track import Track, built_in_tracks

    track = Track.load(options.track)
    settings = SimulatorSettings(track, mode=options.mode, conditions=Conditions.named(options.conditions))
    human = KeyboardTakeover(Window("udacity-gym sim", *WINDOW)) if options.window else None
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(replace(settings, ctrl_dt=ctrl_dt)),
        track=track.name,
        host=options.host,
        port=options.port,
        ctrl_dt=options.ctrl_dt,
        dialect=options.dialect,
        culture=options.culture,
        real_time=options.real_time,
        announce=options.announce,
        seed=options.seed,
        patience=options.patience,
        person=human,
        on_step=None if human is None else human.update,
        on_news=lambda news: print(news, flush=True),
        tracks=None if options.track_files else (*built_in_tracks(), options.track),
    )
    try:
        ending = client.run()
    finally:
        if human is not None:
            human.window.close()
    seconds = client.steps * (options.ctrl_dt if not options.real_time else 1 / 60)
    print(f"{ending}: drove {client.steps} steps ({seconds:.0f} s of simulated time)")
    if ending == "no server":
        print(
            f"No server listens on {options.host}:{options.port}: start drive.py, or an environment with "
            'gym.make("UdacitySim-v0", simulator="remote").'
        )
        return 1
    return 0
