"""``udacity-gym sim``: run the simulator for a ``drive.py``, over Socket.IO."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from udacity_gym.checks import check_integer
from udacity_gym.cli.options import About
from udacity_gym.cli.outputs import check_writable
from udacity_gym.cli.shared import check_seed, positive
from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.evaluation.metrics import EdgeDepartures
from udacity_gym.files import write_whole
from udacity_gym.progress import progress_bar
from udacity_gym.telemetry import CTRL_DT, Control, Telemetry
from udacity_gym.text import count
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


class DriveAccount:
    """Counts laps, departures from the road and steps of a drive, over all its episodes.

    Attributes:
        steps: number of steps.
        seconds: simulated time, s.
        distance: m driven along the track.
        laps: completed laps.
        departures: time in s, distance in m and position s in m of each departure of the car's centre from
            the road. One excursion counts once, also if the car comes back for less than half a second.
        edge_departures: number of times that a wheel went over the edge line.
        on_news: called with a sentence about each lap and each departure.
    """

    def __init__(self, on_news: Callable[[str], object]) -> None:
        self.on_news = on_news
        self.steps = self.edge_departures = 0
        self.departures: list[dict[str, float]] = []
        self._seconds_before = self._distance_before = 0.0
        self._laps_before = 0
        self._telemetry: Telemetry | None = None
        self._road, self._edge = EdgeDepartures(), EdgeDepartures()

    @property
    def seconds(self) -> float:
        """Simulated time, s."""
        return self._seconds_before + (0.0 if self._telemetry is None else self._telemetry.time)

    @property
    def distance(self) -> float:
        """Metres driven along the track."""
        track = None if self._telemetry is None else self._telemetry.track
        return self._distance_before + (0.0 if track is None else track.progress)

    @property
    def laps(self) -> int:
        """Completed laps."""
        track = None if self._telemetry is None else self._telemetry.track
        return self._laps_before + (0 if track is None else max(0, track.lap))

    def update(self, telemetry: Telemetry) -> None:
        """Take note of a step."""
        track = telemetry.track
        assert track is not None, "the embedded simulator tells where the car is"
        begins = self._telemetry is None or telemetry.time <= self._telemetry.time
        if begins:
            self._seconds_before, self._distance_before = self.seconds, self.distance
            self._laps_before = self.laps
            self._road, self._edge = EdgeDepartures(), EdgeDepartures()
        laps_before = self._laps_before if begins else self.laps
        self._telemetry = telemetry
        self.steps += 1
        self.edge_departures += self._edge.update(track.off_lane or track.offroad, self.seconds)
        if self._road.update(track.offroad, self.seconds):
            self.departures.append({"time": self.seconds, "distance": self.distance, "s": track.s})
            self.on_news(f"off the road at s = {track.s:.0f} m, after {self.seconds:.1f} s")
        if self.laps > laps_before:
            self.on_news(f"lap {self.laps} after {self.seconds:.1f} s")

    def to_json(self) -> dict[str, Any]:
        """All numbers, as JSON values."""
        return {
            "laps": self.laps,
            "departures": [
                {name: round(value, 3) for name, value in departure.items()} for departure in self.departures
            ],
            "edge_departures": self.edge_departures,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "distance": round(self.distance, 3),
        }

    def __str__(self) -> str:
        return (
            f"{count(self.laps, 'lap')}, {count(len(self.departures), 'departure')} from the road, "
            f"{count(self.edge_departures, 'time')} a wheel over the line, {count(self.steps, 'step')} "
            f"({self.seconds:.0f} s of simulated time)"
        )


class Goal:
    """Decides when a drive is over, and whether it has passed.

    Args:
        laps: laps to drive; None drives until the driver has gone.
        max_departures: departures from the road that are allowed; None allows all.
        max_seconds: s of simulated time after which the drive is over; None has no limit.
    """

    def __init__(self, laps: int | None, max_departures: int | None, max_seconds: float | None) -> None:
        self.laps, self.max_departures, self.max_seconds = laps, max_departures, max_seconds

    def failure(self, account: DriveAccount) -> str | None:
        """Why a drive would fail if it ended now; None if it would pass."""
        departures = len(account.departures)
        if self.max_departures is not None and departures > self.max_departures:
            return f"{count(departures, 'departure')} from the road, allowed are {self.max_departures}"
        if self.laps is not None and account.laps < self.laps:
            return f"{account.laps} of {count(self.laps, 'lap')}"
        return None

    def ending(self, account: DriveAccount) -> str | None:
        """Why a drive is over; None if it goes on."""
        if self.max_departures is not None and len(account.departures) > self.max_departures:
            return "too many departures"
        if self.laps is not None and account.laps >= self.laps:
            return "all laps driven"
        if self.max_seconds is not None and account.seconds >= self.max_seconds - 1e-9:
            return f"time limit of {self.max_seconds:.0f} s"
        return None


@dataclass(frozen=True)
class Options:
    """Run the simulator for a program that drives it, such as drive.py.

    Connects to the port of the program, as Udacity's simulator does. In lock-step, the default, every command
    lasts --ctrl-dt seconds of simulated time, and the car waits for the next one. Ends when there has been no
    server for --patience seconds, or as --laps, --max-departures and --max-seconds say.

    The exit status is 1 if no driver connected, if fewer than --laps were driven, or if the car left the road
    more often than --max-departures; 130 after Ctrl-C or SIGTERM; otherwise 0.
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
    laps: Annotated[int | None, About("end after this many laps; with fewer, the exit status is 1")] = None
    max_departures: Annotated[
        int | None, About("end with exit status 1 when the car has left the road more often")
    ] = None
    max_seconds: Annotated[
        float | None,
        About("end after this much simulated time; with --laps, by default enough for 3 m/s"),
    ] = None
    json: Annotated[Path | None, About("write the results to this file")] = None
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
    goal = _goal(options, float(track.length))
    if options.json is not None:
        check_writable(options.json.parent, "--json")
    settings = SimulatorSettings(track, mode=options.mode, conditions=Conditions.named(options.conditions))
    human = KeyboardTakeover(Window("udacity-gym sim", *WINDOW)) if options.window else None
    ended: str | None = None

    with progress_bar(bar_format="{desc}", miniters=1, leave=False) as bar:

        def tell(news: str) -> None:
            bar.write(news, file=sys.stdout)
            sys.stdout.flush()

        def on_step(simulator: Simulator) -> None:
            nonlocal ended
            account.update(client.car.telemetry)
            bar.set_description_str(str(account), refresh=False)
            bar.update()
            if human is not None:
                human.update(simulator)
            if ended is None and (ended := goal.ending(account)) is not None:
                client.stop()

        account = DriveAccount(tell)
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
            on_step=on_step,
            on_news=tell,
            tracks=None if options.track_files else (*built_in_tracks(), options.track),
        )
        try:
            client_ending = client.run()
            ended = ended or client_ending
        except KeyboardInterrupt:
            ended = "interrupted"
            raise
        finally:
            bar.close()
            if human is not None:
                human.window.close()
            failure = "no driver" if ended == "no server" else goal.failure(account)
            if account.steps or ended != "no server":
                print(f"{ended or 'error'}: {account}", flush=True)
            if options.json is not None:
                passed = failure is None and ended not in (None, "interrupted")
                results = {"track": track.name, "ended": ended or "error", "passed": passed}
                results |= {"connections": client.connections, **account.to_json()}
                write_whole(options.json, json.dumps(results, indent=1) + "\n")
    if ended == "no server":
        print(
            f"No server listens on {options.host}:{options.port}: start drive.py, or an environment with "
            'gym.make("UdacitySim-v0", simulator="remote").'
        )
    elif failure is not None:
        print(f"failed: {failure}")
    return 0 if failure is None else 1


def _goal(options: Options, track_length: float) -> Goal:
    """What the options ask of a drive."""
    from udacity_gym.evaluation.runner import SLOWEST

    laps, max_seconds = options.laps, options.max_seconds
    if laps is not None:
        check_integer("--laps", laps, 1)
    if options.max_departures is not None:
        check_integer("--max-departures", options.max_departures, 0)
    if max_seconds is not None:
        positive(max_seconds=max_seconds)
    elif laps is not None:
        max_seconds = laps * track_length / SLOWEST
    return Goal(laps, options.max_departures, max_seconds)
