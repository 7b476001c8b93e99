"""People at the window: they drive and are recorded, or take over from a policy."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from udacity_gym.window import why_no_window

if TYPE_CHECKING:
    import gymnasium

    from udacity_gym.experts import Expert, Human
    from udacity_gym.recording import Recorder

Devices = Literal["keyboard", "gamepad", "any"]
"""What people drive with; "any" is both, and whoever got active last drives."""

STEERING = """\
  arrows or W, A, S, D   throttle, steer, brake       left stick, triggers"""
RECORDING = """\
  R                      record, and stop             X, square"""
TAKING_OVER = """\
  T or any of these      take over                    A, cross
  Return, or let go      hand back                    B, circle
  P                      pause, and go on             start, options"""


def people(devices: Devices, option: str = "--human") -> Human:
    """Who is at the devices.

    Args:
        devices: what they drive with.
        option: what was asked for them, for the message.

    Raises:
        DisplayError, MissingDependencyError: There is no window to drive in.
    """
    problem = why_no_window()
    if problem is not None:
        raise type(problem)(f"{option} needs a window to drive in; {problem}")
    from udacity_gym.experts import Human

    return Human() if devices == "any" else Human(devices)


@dataclass
class Drive:
    """A drive that goes on where the car leaves the road: it is put back where it was.

    Attributes:
        env: the environment.
        metres: driven along the track in all episodes.
        seconds: simulated, in all episodes.
        put_back: how often the car was put back.
    """

    env: gymnasium.Env[Any, Any]
    metres: float = 0.0
    seconds: float = 0.0
    put_back: int = 0
    observation: Any = None
    info: dict[str, Any] = field(default_factory=dict)

    def begin(self, seed: int) -> None:
        """Start at the start."""
        self.observation, self.info = self.env.reset(seed=seed)

    def step(self, action: Any) -> None:
        """Drive a control step."""
        before = self.info
        self.observation, _, terminated, truncated, self.info = self.env.step(action)
        self.metres += self.info["progress"] - before["progress"]
        self.seconds += self.info["time"] - before["time"]
        if terminated or truncated:
            self.put_back += 1
            self.observation, self.info = self.env.reset(options={"s": float(self.info["s"])})

    def laps(self) -> float:
        """Laps driven so far."""
        laps: float = self.metres / self.env.unwrapped.track.length  # type: ignore[attr-defined]
        return laps


def record_people(
    human: Human,
    env: gymnasium.Env[Any, Any],
    folder: Path,
    *,
    laps: int,
    seconds: float | None,
    seed: int,
    append: bool,
) -> None:
    """A person drives in an environment's window and is recorded, from the first touch on.

    Closing the window is the end, and so are the laps and seconds of driving.
    """
    from udacity_gym.recording import RecordDrives, Recorder
    from udacity_gym.telemetry import CAMERAS

    print(f"Drive in the window; close it to end.\n{STEERING}\n{RECORDING}")
    with ExitStack() as stack:
        recorder = stack.enter_context(Recorder(folder, CAMERAS, {"driver": human.driver}, append=append))
        drive = Drive(RecordDrives(env, recorder))
        begun = False
        stack.enter_context(suppress(KeyboardInterrupt))  # the window was closed
        drive.begin(seed)
        while drive.laps() < laps and (seconds is None or drive.seconds < seconds - 1e-9):
            reading = human.read(drive.observation, drive.info)
            if begun and "record" in reading.buttons:
                _toggle(recorder)
            elif not begun and (reading.active or "record" in reading.buttons):
                begun = True
                recorder.start()
            caption = "recording" if recorder.recording else "not recording"
            env.unwrapped.caption = caption  # type: ignore[attr-defined]
            drive.step(reading.action)
            if not begun:
                drive.seconds = 0.0


def drive_with_people(
    driver: Expert,
    human: Human,
    env: gymnasium.Env[Any, Any],
    *,
    laps: int,
    seconds: float | None,
    seed: int,
    folder: Path | None,
) -> str:
    """A policy drives in an environment's window until somebody takes over.

    Args:
        driver: who drives.
        human: who may take over.
        env: the environment, with ``render_mode="human"``.
        laps: laps to drive.
        seconds: s of driving after which to stop.
        seed: of the environment.
        folder: where to record the drive, with who drove each frame.

    Returns:
        What came of it, for people.
    """
    from udacity_gym.experts import PolicyExpert, Takeover
    from udacity_gym.recording import RecordDrives, Recorder
    from udacity_gym.telemetry import CAMERAS

    print(f"Touch the controls to take over; close the window to end.\n{STEERING}\n{TAKING_OVER}")
    with ExitStack() as stack:
        if folder is not None:
            recorder = stack.enter_context(Recorder(folder, CAMERAS))
            env = RecordDrives(env, recorder)
            recorder.start()
        drive = Drive(Takeover(env, human, driver="policy" if isinstance(driver, PolicyExpert) else "expert"))
        yours = takeovers = 0
        with suppress(KeyboardInterrupt):
            drive.begin(seed)
            while drive.laps() < laps and (seconds is None or drive.seconds < seconds - 1e-9):
                before = drive.info["driver"]
                drive.step(driver(drive.observation, drive.info))
                yours += drive.info["driver"] == "human"
                takeovers += drive.info["driver"] == "human" != before
        share = yours * env.get_wrapper_attr("ctrl_dt") / max(1e-9, drive.seconds)
    return (
        f"{drive.laps():.2f} laps in {drive.seconds:.0f} s: you took over {takeovers} times and drove "
        f"{share:.0%} of the time; the car was put back {drive.put_back} times"
    )


def _toggle(recorder: Recorder) -> None:
    if recorder.recording:
        recorder.stop()
    else:
        recorder.start()
