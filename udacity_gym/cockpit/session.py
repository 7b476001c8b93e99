"""The car of the cockpit: one thread, in which one drive goes on, and what can be asked of it."""

from __future__ import annotations

import concurrent.futures
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import gymnasium

from udacity_gym.cockpit.link import Clock, Limits
from udacity_gym.cockpit.seats import PageDevice, Seats
from udacity_gym.cockpit.setup import Setup
from udacity_gym.cockpit.taping import Tape
from udacity_gym.cockpit.teaching import Round
from udacity_gym.driving.decision import HUMAN, Decision
from udacity_gym.driving.driver import Driver, as_driver
from udacity_gym.driving.handover import Handover, State
from udacity_gym.driving.human import Human
from udacity_gym.driving.lap_timer import LapTimer
from udacity_gym.driving.loop import PutBack, Step, drive
from udacity_gym.driving.policy_inputs import image_size_for
from udacity_gym.driving.standstill import STUCK_SECONDS
from udacity_gym.errors import OptionError, SimulatorError, UdacityGymError
from udacity_gym.recording.images import encode_jpeg
from udacity_gym.telemetry import CAMERAS, CTRL_DT, VIEWS

T = TypeVar("T")

HAND_DT = 1 / 30
"""s of a step while somebody drives by hand."""
VIEW_SIZE = (800, 450)
"""Width and height of the large image, pixels."""
AT_REST = PutBack(speed=0.0)
"""For humans, the car is put back standing still, in the same weather."""
PACES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Speeds of the drive relative to real time that the page offers."""
COUNTDOWN = 3.0
"""s from the start signal of a round until the car goes."""
CLOSING = 20.0
"""s that the thread has to end."""
BEHIND = 0.25
"""s that the drive may be late before it gives up catching up."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shot:
    """What the pages show of a moment.

    Attributes:
        number: counts the moments.
        state: everything but images, for JSON.
        images: JPEG files by name: "view", and cameras if somebody looks at them.
        sequence: number of the command that the moment is the answer to.
    """

    number: int
    state: Mapping[str, Any]
    images: Mapping[str, bytes] = field(default_factory=dict)
    sequence: int = 0


class ByHand:
    """A human who drives alone; steps are decided by the page as an input device."""

    name = HUMAN

    def __init__(self, human: Human) -> None:
        self._human = human

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """A page needs no preparation, see `Driver.reset`."""

    def decide(self, observation: Any, info: Mapping[str, Any]) -> Decision:
        """Do as the human does, see `Driver.decide`."""
        return Decision(self._human.read(observation, info).action, HUMAN)


class _Held:
    """A driver that pauses the simulation while somebody wants it paused."""

    def __init__(self, driver: Driver, is_held: Callable[[], bool]) -> None:
        self.driver = driver
        self._is_held = is_held

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        self.driver.reset(env, info, seed)

    def decide(self, observation: Any, info: Mapping[str, Any], /) -> Decision | None:
        return None if self._is_held() else self.driver.decide(observation, info)


class Session:
    """A car that somebody drives, in a thread of its own.

    Everything that others ask for (`ask`) is done by this thread, between two steps. After each step, and
    while the world is held as often, `on_shot` gets what the pages show.

    Attributes:
        seats: who drives and who watches.
        setup: what is driven, and who drives.
        features: what the simulator can do; {} until the first one is there.
        tape: the recording.
        on_shot: called in the session's thread with each `Shot`.
    """

    def __init__(
        self,
        setup: Setup | None = None,
        *,
        clock: Clock = time.monotonic,
        limits: Limits | None = None,
        drop: float = 2.0,
        on_shot: Callable[[Shot], object] = lambda shot: None,
        real_time: bool = True,
    ) -> None:
        """Prepare; `start` begins to drive.

        Args:
            setup: what is driven, and who drives.
            clock: of the connections; the drive's pace goes by real time.
            limits: of remote driving.
            drop: s of a recording that are thrown away before a fall.
            on_shot: see the class.
            real_time: whether a step takes as long as it lasts; else they follow each other at once.
        """
        from udacity_gym.driving.loading import load_driver

        self.setup = setup or Setup()
        self.seats = Seats(clock, limits or Limits())
        self.features: dict[str, Any] = {}
        self.tape = Tape(drop)
        self.on_shot = on_shot
        self._load_driver: Callable[[str], Any] = load_driver
        self._real_time = real_time
        self._device = PageDevice(self.seats)
        self._requests: queue.SimpleQueue[tuple[concurrent.futures.Future[Any], Callable[[], Any]]] = (
            queue.SimpleQueue()
        )
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._env: gymnasium.Env[Any, Any] | None = None
        self._steps: Iterator[Step] | None = None
        self._driver: Driver | None = None
        self._last: Step | None = None
        self._round: Round | None = None
        self._timer = LapTimer()
        self._hold: str | None = "start"
        self._go_at: float | None = None
        self._single_steps = 0
        self._touched = False
        self._problem: str | None = None
        self._event: dict[str, Any] = {"number": 0, "text": "", "kind": "info"}
        self._pace = 1.0
        self._deadline = 0.0
        self._view = "chase"
        self._cameras = False
        self._watched = 0
        self._number = 0
        self._drawn: Any = None

    # Asked by others, done between two steps.

    def ask(self, request: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Let the session's thread do something between two steps."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._requests.put((future, request))
        self._wake.set()
        return future

    def start(self) -> None:
        """Begin to drive."""
        self._thread = threading.Thread(target=self._run, name="cockpit", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the drive, save what is recorded, and wait for the thread."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSING)  # it may be waiting for a simulator that never comes

    def use_loader(self, load_driver: Callable[[str], Any]) -> None:
        """Choose what makes a driver, given its name or path; before `start`."""
        self._load_driver = load_driver

    def watch(self, pages: int) -> None:
        """Say how many pages look, so that nothing is drawn for nobody."""
        self._watched = pages
        self._wake.set()

    # The following run in the session's thread: call them through `ask`.

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Drive something else, or let somebody else drive; begins anew.

        Raises:
            OptionError: A setting is wrong, or a round of a session of DAgger is under way.
        """
        self._refuse_in_round("end the round before you change track, weather or driver")
        setup = self.setup.changed(changes)
        self._shut()
        self.setup, self._problem = setup, None
        self.tape.pause()
        self._hold = "start"

    def retry(self) -> None:
        """Drive again what has failed."""
        self._problem = None
        self._hold = "countdown" if self._round is not None else "start"

    def teach(self, round: Round) -> None:
        """Begin a round of DAgger; the car waits for `resume`."""
        self._refuse_in_round("end the round before you begin another")
        self.tape.finish()
        self._shut()
        self._round, self._problem, self._hold = round, None, "countdown"
        self.setup = round.setup

    def end_round(self) -> Round | None:
        """End the round of DAgger, if one is under way, and give it back."""
        round, self._round = self._round, None
        if round is not None:
            round.close()
            self._shut()
            self._hold = "start"
        return round

    def count_down(self) -> None:
        """Let the car go after `COUNTDOWN` s."""
        self._hold, self._go_at = "countdown", self.seats.clock() + COUNTDOWN

    def restart(self) -> None:
        """Put the car at the start; laps begin anew."""
        self._steps = None
        self._hold = self._hold or "start"

    def pause(self, reason: str = "paused") -> None:
        """Hold the world; ends a countdown."""
        self._go_at = None
        self._hold = self._hold or reason

    def resume(self) -> None:
        """Go on."""
        self._hold, self._go_at, self._single_steps = None, None, 0
        self._deadline = 0.0

    def toggle_pause(self) -> None:
        """Hold the world, or go on."""
        if self._hold is None:
            self.pause()
        else:
            self.resume()

    def single_step(self) -> None:
        """Drive one step, and pause the simulation again."""
        self._hold = self._hold or "paused"
        self._single_steps += 1

    def press(self, button: str) -> None:
        """Press "take_over" or "hand_back"."""
        if button == "take_over":
            self.resume()
        self._device.press(button)

    def set_pace(self, pace: float) -> None:
        """Drive slower or quicker than real time.

        Raises:
            OptionError: It is none of `PACES`.
        """
        if pace not in PACES:
            raise OptionError(f"pace must be one of {', '.join(map(str, PACES))}, got {pace!r}")
        self._pace = float(pace)

    def set_view(self, view: str, cameras: bool) -> None:
        """Choose the large image, and whether the cameras' images are shown.

        Raises:
            OptionError: There is no such view.
        """
        if view not in (*VIEWS, "center"):
            raise OptionError(f"view must be one of {', '.join((*VIEWS, 'center'))}, got {view!r}")
        self._view, self._cameras, self._drawn = view, bool(cameras), None

    def record(self, folder: Path) -> None:
        """Start to record, or go on.

        Raises:
            OptionError: In a round of DAgger, which records by itself.
            RecordingError: The folder can't be written to.
        """
        self._refuse_in_round("a round of DAgger records by itself")
        self.tape.start(folder)

    def discard(self, seconds: float | None) -> int:
        """Throw away the last seconds or the last episode of the recording, or the last correction.

        Returns:
            Number of frames thrown away.
        """
        if self._round is not None:
            count = self._round.discard_correction()
            # Else hands off the wheel, or a key that was let go a moment ago, would go on as a correction.
            self.seats.release()
            self._device.press("hand_back")
            self._say(f"the last correction was discarded, {count} frames" if count else "no correction yet")
            return count
        count = self.tape.discard(seconds)
        self._say(f"discarded {count} frames" if count else "nothing is recorded that could be discarded")
        return count

    def finish(self) -> int:
        """Close the recording; returns its number of frames."""
        folder, frames = self.tape.folder, self.tape.finish()
        if folder is not None:
            self._say(f"{frames} frames were added to {folder.name}")
        return frames

    def set_drop(self, seconds: float) -> None:
        """Choose how many seconds before a fall are thrown away."""
        if not isinstance(seconds, (int, float)) or not 0.0 <= seconds <= 60.0:
            raise OptionError(f"seconds before a fall must be in [0, 60], got {seconds!r}")
        self.tape.drop = float(seconds)

    def _refuse_in_round(self, what: str) -> None:
        if self._round is not None:
            raise OptionError(what)

    # The thread.

    def _run(self) -> None:
        try:
            while not self._closing:
                self._answer()
                if self._problem is None and not (self._hold and not self.seats.pages and self._last):
                    self._go_on()
                    self._wait()
                else:
                    self._publish()
                    self._wake.wait(0.1 if self._watched else 0.5)
                self._wake.clear()
        finally:
            self.tape.finish()
            if self._round is not None:
                self._round.close()
            self._shut()
            self._answer()

    def _answer(self) -> None:
        """Do what was asked for."""
        while True:
            try:
                future, request = self._requests.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(request())
                except BaseException as error:  # whoever asked gets it
                    future.set_exception(error)

    def _go_on(self) -> None:
        """Drive a step, or pause the simulation for one."""
        try:
            if self._steps is None:
                self._begin()
            assert self._steps is not None
            self._look_after_the_driver()
            step = next(self._steps)
            if self._last is None:  # who connects from outside tells only now what it can do
                assert self._env is not None
                self.features = self.setup.features(self._env)
            self._after(step)
            self._publish()
        except UdacityGymError as error:
            self._fail(str(error))
        except Exception as error:  # a policy of somebody else's may raise anything
            _logger.exception("the drive ended")
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, problem: str) -> None:
        self._problem = problem
        self.tape.pause()
        if self._round is not None:
            self._round.pause()
        self._shut()

    def _begin(self) -> None:
        """Make environment and driver where they are missing, and begin a drive."""
        if self._env is None:
            self._publish("loading")
            self._env, self._driver = self._make()
        assert self._driver is not None
        simulator = self._env.unwrapped.simulator  # type: ignore[attr-defined]
        self._timer, self._last, self._drawn = LapTimer(), None, None
        self._steps = drive(
            self._env,
            _Held(self._driver, self._is_held),
            seed=self.setup.seed,
            start=None if self._round is None else self._round.start,
            on_fall="put_back" if simulator.capabilities.can_place else "restart",
            on_truncation="restart",
            put_back=AT_REST,
            stuck_seconds=STUCK_SECONDS if self._round is not None else None,
        )
        self._deadline = 0.0

    def _make(self) -> tuple[gymnasium.Env[Any, Any], Driver]:
        setup, human = self.setup, Human(self._device)
        if self._round is not None:
            policy = self._load_driver(self._round.policy)
            driver: Driver = self._round.driver(policy, human)
            env = setup.make_env(("center",), CTRL_DT, image_size=image_size_for(policy))
        elif setup.driver == HUMAN:
            driver = ByHand(human)
            cameras = () if setup.simulator == "embedded" else ("center",)
            env = setup.make_env(cameras, HAND_DT, mode="training")
        else:
            policy = self._load_driver(setup.driver)
            driver = Handover(as_driver(policy), human)
            env = setup.make_env(("center",), CTRL_DT, image_size=image_size_for(policy))
        return env, driver

    def _shut(self) -> None:
        """Close the environment; the next step makes another."""
        env, self._env, self._steps, self._driver, self._last = self._env, None, None, None, None
        if env is not None:
            env.close()

    def _is_held(self) -> bool:
        if self._hold is None:
            return False
        if self._single_steps:
            self._single_steps -= 1
            return False
        return True

    def _look_after_the_driver(self) -> None:
        """Hold the world where nobody could take over, and go on where somebody touches the controls."""
        if self._hold is None and self.seats.is_lost():
            self.pause("nobody has the wheel" if self.seats.driver is None else "connection lost")
        touched = self.seats.controls_active()
        if self._go_at is not None and self.seats.clock() >= self._go_at:
            self.resume()
        if self._hold not in (None, "countdown", "round over") and touched and not self._touched:
            self.resume()
            if isinstance(self._driver, Handover):
                self._device.press("take_over")
        self._touched = touched

    def _after(self, step: Step) -> None:
        self._last = step
        if step.decision is None:
            return
        self._timer.add(step)
        if self._round is not None:
            self._round.add(step)
            if self._round.is_full and self._hold is None:
                self._hold = "round over"
        dropped = self.tape.add(step)
        if step.fell:
            where = "the car got stuck" if step.is_stuck else "off the road"
            lost = f"; the last {self.tape.drop:g} s, {dropped} frames, were dropped" if dropped else ""
            self._say(f"{where}: put back{lost}", "warning")

    def _say(self, text: str, kind: str = "info") -> None:
        """Tell the people at the pages something that has happened."""
        self._event = {"number": self._event["number"] + 1, "text": text, "kind": kind}

    def _wait(self) -> None:
        """Wait until the next step is due."""
        step = self._last
        held = step is None or step.is_held
        in_step = self._env is None or self._env.unwrapped.simulator.capabilities.is_lockstep  # type: ignore[attr-defined]
        if not self._real_time and not held:
            return
        if not in_step and not held:
            return  # the simulator sets the pace
        now = time.monotonic()
        seconds = CTRL_DT if self._env is None else float(self._env.get_wrapper_attr("ctrl_dt"))
        self._deadline += seconds / self._pace
        if self._deadline < now - BEHIND or self._deadline > now + 10.0:
            self._deadline = now + (seconds / self._pace if self._deadline else 0.0)
        while (left := self._deadline - time.monotonic()) > 0 and self._requests.empty():
            self._wake.wait(left)
            self._wake.clear()
            if self._closing:
                return

    # What the pages show.

    def _publish(self, status: str | None = None) -> None:
        """Give the present moment to `on_shot`."""
        self._number += 1
        images = {}
        if self._watched and status is None:
            images = self._draw()
        self.on_shot(Shot(self._number, self._state(status), images, self._device.sequence))

    def _draw(self) -> dict[str, bytes]:
        """JPEG files of the present moment; empty if they were drawn already."""
        step = self._last
        if step is None or self._env is None or step.next_telemetry is None:
            return {}
        moment = (id(step.next_telemetry), self._view, self._cameras)
        if step.is_held and self._drawn == moment[1:]:
            return {}
        telemetry = step.next_telemetry
        names = list(CAMERAS) if self._cameras else []
        view = self._view if self.setup.simulator == "embedded" else "center"
        if view == "center" and "center" not in names:
            names.append("center")
        names = [name for name in names if name in telemetry.cameras]
        drawn = telemetry.images(names) if names else {}
        images = {name: encode_jpeg(image) for name, image in drawn.items()}
        if view == "center":
            images["view"] = images["center"]
        else:
            try:
                simulator = self._env.unwrapped.simulator  # type: ignore[attr-defined]
                images["view"] = encode_jpeg(simulator.view(view, *VIEW_SIZE))
            except SimulatorError as error:
                self._say(str(error), "warning")
        self._drawn = moment[1:]
        return images

    def _state(self, status: str | None) -> dict[str, Any]:
        state: dict[str, Any] = {
            "number": self._number,
            "who": self._who(status),
            "hold": self._hold,
            "countdown": None
            if self._go_at is None
            else max(0.0, round(self._go_at - self.seats.clock(), 2)),
            "trouble": self.seats.trouble(),
            "problem": self._problem,
            "setup": asdict(self.setup),
            "ready": self._env is not None,
            "pace": self._pace,
            "view": self._view,
            "cameras": self._cameras,
            "laps": self._timer.as_json(),
            "tape": {
                **self.tape.as_json(),
                "folder": None if self.tape.folder is None else str(self.tape.folder),
            },
            "event": self._event,
            "driver": self.seats.driver,
            "pages": self.seats.pages,
        }
        if self._round is not None:
            state["round"] = self._round.as_json()
        if self._last is not None:
            state["car"] = _car(self._last)
        return state

    def _who(self, status: str | None) -> str:
        """The word on the page that must be understood from three metres away."""
        if status is not None:
            return status
        if self._problem is not None:
            return "stopped"
        if self._env is None:
            return "loading"
        if self._hold is not None:
            return "paused"
        if self._round is not None:
            return "correcting" if self._round.corrects else "autonomous"
        if isinstance(self._driver, Handover):
            return "correcting" if self._driver.state is State.CORRECTING else "autonomous"
        return "driving"


def _car(step: Step) -> dict[str, Any]:
    """What is shown of the car, rounded."""
    info, decision = step.next_info, step.decision
    car: dict[str, Any] = {
        name: round(float(info[name]), 4)
        for name in ("time", "speed", "steering", "throttle", "brake", "s", "cte")
        if name in info and math.isfinite(float(info[name]))
    }
    pose = info.get("pose")
    if pose is not None:
        car |= {"x": round(float(pose[0]), 2), "y": round(float(pose[1]), 2), "yaw": round(float(pose[3]), 3)}
    if "off_lane" in info:
        car["off_lane"] = bool(info["off_lane"])
    if decision is not None:
        car["by"] = decision.driver
        for name, action in (("policy", decision.policy_action), ("expert", decision.expert_action)):
            if action is not None:
                car[name] = round(float(action[0]), 4)
        if decision.doubt is not None:
            car["doubt"] = round(float(decision.doubt), 5)
    return car
