"""Humans at the window: they drive and are recorded, or take over from a policy."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from udacity_gym.driving.lap_timer import LapTimer
from udacity_gym.driving.loop import PutBack
from udacity_gym.telemetry import CTRL_DT
from udacity_gym.text import count
from udacity_gym.window import why_no_window

if TYPE_CHECKING:
    import gymnasium

    from udacity_gym.driving.loop import Step
    from udacity_gym.experts import Expert, Human
    from udacity_gym.recording import Recorder

Devices = Literal["keyboard", "gamepad", "any"]
"""Input devices of a human; with "any", the device that was used last drives."""

STEERING = """\
  arrows or W, A, S, D   throttle, steer, brake       left stick, triggers"""
RECORDING = """\
  R                      record, and stop             X, square
  Backspace              discard the last 5 s         Y, triangle"""
TAKING_OVER = """\
  T or any of these      take over                    A, cross
  Return, or let go      hand back                    B, circle
  P                      pause, and go on             start, options"""


DISCARD = 5.0
"""s that are discarded at the press of a key."""
DROP = 2.0
"""s of a recording that are discarded before a fall."""
AT_REST = PutBack(speed=0.0)
"""For humans, the car is put back standing still, in the same weather."""


def window_closes() -> suppress:
    """Context that ends without an error when the window is closed."""
    return suppress(KeyboardInterrupt)


def people(devices: Devices, option: str = "--human") -> Human:
    """Make the driver for a human at keyboard or gamepad.

    Args:
        devices: input devices.
        option: command-line option that needs a human, for the message.

    Raises:
        DisplayError, MissingDependencyError: No window can be opened.
    """
    problem = why_no_window()
    if problem is not None:
        raise type(problem)(f"{option} needs a window to drive in; {problem}")
    from udacity_gym.driving.human import Gamepad
    from udacity_gym.experts import Human

    human = Human() if devices == "any" else Human(devices)
    pads = [device for device in human.devices if isinstance(device, Gamepad)]
    if pads and not any(pad.connected for pad in pads):
        print("No gamepad is found. Plug one in at any time and press a button on it.")
    return human


class Tape:
    """Record the steps of a human, without what is discarded and what led to a fall."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.frames = 0

    def add(self, step: Step) -> None:
        """Record a step; a fall or the key discards the last seconds."""
        self._recorder.add(step)
        self.frames += step.decision is not None
        if step.fell:
            self.discard(min(DROP, (self._recorder.frames - 0.5) * CTRL_DT))

    def discard(self, seconds: float) -> None:
        """Delete the last seconds."""
        if self.frames:
            self.frames -= self._recorder.discard_last(max(seconds, CTRL_DT / 2))


def caption(words: str, timer: LapTimer) -> str:
    """Text in the corner of the window: laps and times go on after a fall, unlike the instruments' own."""
    now = timer.as_json()
    best = "" if now["best"] is None else f", best {now['best']:.1f} s"
    return f"{words} - lap {now['lap'] + 1}, {now['time']:.0f} s{best}"


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
    """Record a human who drives in the window of an environment.

    Recording begins when the human first uses the controls. It ends after the laps or the seconds, or when
    the window is closed.
    """
    from udacity_gym.driving import drive
    from udacity_gym.recording import Recorder
    from udacity_gym.telemetry import CAMERAS

    print(f"Drive in the window; close it to end.\n{STEERING}\n{RECORDING}")
    steps = drive(env, human, laps=laps, seed=seed, on_fall="put_back", put_back=AT_REST, stuck_seconds=None)
    record_start: float | None = None
    with Recorder(folder, CAMERAS, {"driver": human.driver}, append=append) as recorder, window_closes():
        recording, time = False, 0.0
        tape, timer = Tape(recorder), LapTimer()
        for step in steps:
            timer.add(step)
            if "discard" in human.last.buttons:
                tape.discard(DISCARD)
            pressed = "record" in human.last.buttons
            if record_start is None and (human.last.active or pressed):
                record_start, recording = time, True
            elif pressed:
                recording = not recording
            if recording:
                tape.add(step)
            else:
                recorder.stop()
            words = f"recording, {tape.frames} frames" if recording else "not recording"
            env.unwrapped.caption = caption(words, timer)  # type: ignore[attr-defined]
            time = step.time
            if record_start is not None and seconds is not None and time - record_start >= seconds - 1e-9:
                break


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
    """Drive with a policy in the window of an environment; a human can take over.

    Args:
        driver: policy or expert that drives.
        human: human who can take over.
        env: the environment, with ``render_mode="human"``.
        laps: laps to drive.
        seconds: stop after this many seconds of simulated time.
        seed: seed of the environment.
        folder: folder of the recording, which also says who drove each frame; None records nothing.

    Returns:
        Summary of the drive, as text.
    """
    from udacity_gym.driving import HUMAN, Handover, drive
    from udacity_gym.recording import Recorder
    from udacity_gym.telemetry import CAMERAS

    print(f"Touch the controls to take over; close the window to end.\n{STEERING}\n{TAKING_OVER}")
    handover = Handover(driver, human)
    steps = drive(
        env,
        handover,
        laps=laps,
        seconds=seconds,
        seed=seed,
        on_fall="put_back",
        put_back=AT_REST,
        stuck_seconds=None,
    )
    time = distance = 0.0
    human_steps = driven_steps = takeovers = falls = 0
    last_driver = ""
    with ExitStack() as stack:
        recorder = None if folder is None else stack.enter_context(Recorder(folder, CAMERAS))
        stack.enter_context(window_closes())
        for step in steps:
            if step.decision is None:
                continue
            if recorder is not None:
                recorder.add(step)
                if "discard" in human.last.buttons:
                    recorder.discard_last(DISCARD)
            driven_steps += 1
            human_steps += step.decision.driver == HUMAN
            takeovers += step.decision.driver == HUMAN != last_driver
            falls += step.fell
            last_driver, time, distance = step.decision.driver, step.time, step.distance
    track = env.get_wrapper_attr("track")
    return (
        f"{distance / track.length:.2f} laps in {time:.0f} s: you took over {count(takeovers, 'time')} and "
        f"drove {human_steps / max(1, driven_steps):.0%} of the time; the car was put back "
        f"{count(falls, 'time')}"
    )
