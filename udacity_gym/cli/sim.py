"""``udacity-gym sim``: our simulator on the wire, for anybody's ``drive.py``."""

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
"""Frames of the simulator per image in the window, which leaves it time for the driver."""
WINDOW = (640, 360)
"""Pixels."""
FRAME = 1 / 60
"""s."""


class Person:
    """Somebody at the window's keyboard: W and S take over and drive, A and D steer, as in Udacity's."""

    def __init__(self, window: Window) -> None:
        from udacity_gym.experts import Human, Reading

        self.window = window
        self._human = Human("keyboard")
        self._reading = Reading(0.0)
        self._frames = 0

    def __call__(self) -> Control | None:
        """What the person does; None while neither W nor S is held."""
        reading = self._reading
        if not reading.throttle and not reading.brake:
            return None
        return Control(reading.steering, reading.throttle - reading.brake)

    def look(self, simulator: Simulator) -> None:
        """Move the wheel by a frame, and show the car now and then."""
        self._frames += 1
        if self._frames % FRAMES_PER_IMAGE == 0:
            self.window.show(simulator.view("chase", *WINDOW), 1000)
        self._reading = self._human.read(None, {"time": self._frames * FRAME})


@dataclass(frozen=True)
class Options:
    """Be Udacity's simulator for a program that drives it: connect to its port.

    In lock-step, the default, every command lasts --ctrl-dt seconds of simulated time and the car waits for
    the next one. It ends when there has been no server for --patience seconds.
    """

    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    conditions: Annotated[str, About("weather and light: rain, dusk, ... or clear as Udacity's")] = "clear"
    real_time: Annotated[bool, About("run in real time at 60 frames/s, as Udacity's does")] = False
    window: Annotated[bool, About("show the car, and let W, S, A, D take over; needs --real-time")] = False
    dialect: Annotated[
        Literal["term1", "term2", "research"],
        About("whose messages: term 1, term 2's PID build, udacity-gym's"),
    ] = "term1"
    host: Annotated[str, About("where the driver listens")] = "127.0.0.1"
    port: Annotated[int, About("port the driver listens on")] = 4567
    culture: Annotated[str, About("how numbers are written, such as de_DE")] = "en_US"
    mode: Annotated[Literal["autonomous", "training"], About("start pose and ride")] = "autonomous"
    ctrl_dt: Annotated[float, About("s of simulated time per command, in lock-step")] = CTRL_DT
    seed: Annotated[int, About("seed of the simulator")] = 0
    patience: Annotated[float, About("s to wait for a driver, at first and after one has gone")] = 30.0
    announce: Annotated[bool, About("tell udacity-gym's own server who we are, for exact lock-step")] = True


def run(options: Options) -> int:
    """Simulate."""
    positive(ctrl_dt=options.ctrl_dt, patience=options.patience)
    check_seed(options.seed)
    if options.window and not options.real_time:
        raise OptionError("--window is for people, who need --real-time")
    from udacity_gym.protocol.client import SimulatorClient
    from udacity_gym.simulators.base import SimulatorSettings
    from udacity_gym.simulators.embedded import EmbeddedSimulator
    from udacity_gym.world.track.track import Track

    track = Track.load(options.track)
    settings = SimulatorSettings(track, mode=options.mode, conditions=Conditions.named(options.conditions))
    person = Person(Window("udacity-gym sim", *WINDOW)) if options.window else None
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
        person=person,
        on_step=None if person is None else person.look,
        on_news=lambda news: print(news, flush=True),
    )
    try:
        ending = client.run()
    finally:
        if person is not None:
            person.window.close()
    seconds = client.steps * (options.ctrl_dt if not options.real_time else 1 / 60)
    print(f"{ending}: drove {client.steps} steps ({seconds:.0f} s of simulated time)")
    if ending == "no server":
        print(
            f"Nobody listens on {options.host}:{options.port}: start your drive.py, or an environment with "
            'gym.make("UdacitySim-v0", simulator="remote").'
        )
        return 1
    return 0
