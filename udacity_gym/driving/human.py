"""People at the wheel: keyboards and gamepads behind one interface, several of them at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import HUMAN, make_action
from udacity_gym.errors import DisplayError, OptionError
from udacity_gym.installation import require
from udacity_gym.window import INPUT_EVENTS

TURNING, RETURNING = 2.5, 3.0
"""Shares of full lock per second by which Udacity's keyboard turns the wheel, and lets it go back."""
DEAD_ZONE = 0.08
"""Share of a stick's way around its middle that counts as the middle."""
HALF_PRESSED = 0.02
"""Share of a trigger's way from which it counts as pressed."""

BUTTONS = ("take_over", "hand_back", "pause", "record", "discard")
"""What people can ask for besides steering; "pause" also goes on."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What somebody does at one moment.

    Attributes:
        time: s, by the clock that the device was asked with.
        steering: [-1, 1], positive turns right.
        throttle: [0, 1].
        brake: [0, 1].
        buttons: those of `BUTTONS` that were pressed since the last reading.
        active: somebody's hands are at the wheel or the pedals.
    """

    time: float
    steering: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0
    buttons: frozenset[str] = frozenset()
    active: bool = False

    @property
    def action(self) -> NDArray[np.float32]:
        """As an action of the environment: (2,) float32 (steering, throttle), the brake negative."""
        return make_action(self.steering, self.throttle - self.brake)


class Device(Protocol):
    """Anything with which a human drives: a keyboard, a gamepad, a page in a browser."""

    def read(self, time: float, /) -> Reading:
        """Say what the human does.

        Args:
            time: s of simulated time, by which a device turns the wheel gradually; it goes
                back when a new episode begins.
        """
        ...


class KeyWheel:
    """A steering wheel turned by two keys, as in Udacity's simulator: by and by, and back by itself.

    Attributes:
        steering: where the wheel is, [-1, 1], positive turns right.
    """

    def __init__(self, turning: float = TURNING, returning: float = RETURNING) -> None:
        """Set the rates.

        Args:
            turning: shares of full lock per second while a key is held.
            returning: shares of full lock per second on the way back to the middle.

        Raises:
            OptionError: A rate is not positive.
        """
        self.turning = check_number("turning", turning, positive=True)
        self.returning = check_number("returning", returning, positive=True)
        self.steering = 0.0

    def turn(self, towards: float, dt: float) -> float:
        """Turn the wheel for ``dt`` s: first back to the middle if it is on the other side, then on.

        Args:
            towards: -1 to the left, 1 to the right, 0 back to the middle.
            dt: s.

        Returns:
            Where it is then.
        """
        steering = self.steering
        if steering * towards <= 0.0 and steering != 0.0:
            back = min(dt, abs(steering) / self.returning)
            steering -= float(np.sign(steering)) * self.returning * back
            dt -= back
            if dt <= 0.0:
                self.steering = steering
                return steering
            steering = 0.0
        self.steering = min(1.0, max(-1.0, steering + towards * self.turning * dt))
        return self.steering


class _PygameDevice:
    """What devices share whose events come from pygame's queue."""

    def __init__(self) -> None:
        self._pygame = _import_pygame()
        self._buttons: set[str] = set()
        self._time: float | None = None

    def handle(self, event: Any) -> None:
        """Take note of one of pygame's events; those of other devices are passed over."""
        raise NotImplementedError

    def _pressed(self) -> frozenset[str]:
        pressed = frozenset(self._buttons)
        self._buttons.clear()
        return pressed

    def _elapsed(self, time: float) -> float:
        """Time in s since the last reading; 0 at the first one of an episode."""
        dt = 0.0 if self._time is None else time - self._time
        self._time = time
        return max(0.0, dt)


class Keyboard(_PygameDevice):
    """A keyboard that drives as Udacity's does: the wheel turns gradually, and returns by itself.

    | Keys               |                                   |
    |--------------------|-----------------------------------|
    | left/right, A/D    | steer                             |
    | up/down, W/S       | throttle, brake (then reverse)    |
    | T, Return          | take over, hand back              |
    | P                  | pause, and go on                  |
    | R                  | record, and stop                  |
    | Backspace          | discard the last seconds          |

    A key that is pressed and let go between two readings counts as held for one of them.

    Args:
        turning: shares of full lock per second while a key is held.
        returning: shares of full lock per second on the way back to the middle.

    Raises:
        MissingDependencyError: pygame is not installed.
        OptionError: A rate is not positive.
    """

    LEFT, RIGHT = frozenset({"left", "a"}), frozenset({"right", "d"})
    FORWARD, BACKWARD = frozenset({"up", "w"}), frozenset({"down", "s"})
    KEYS = LEFT | RIGHT | FORWARD | BACKWARD
    BUTTONS: Mapping[str, str] = {
        "t": "take_over",
        "return": "hand_back",
        "p": "pause",
        "r": "record",
        "backspace": "discard",
    }

    def __init__(self, turning: float = TURNING, returning: float = RETURNING) -> None:
        super().__init__()
        self.wheel = KeyWheel(turning, returning)
        self._held: set[str] = set()
        self._tapped: set[str] = set()

    def handle(self, event: Any) -> None:
        """Take note of one of pygame's events; those of other devices are passed over."""
        pygame = self._pygame
        if event.type == pygame.KEYDOWN:
            name = pygame.key.name(event.key)
            if name in self.BUTTONS:
                self._buttons.add(self.BUTTONS[name])
            elif name in self.KEYS:
                self._held.add(name)
                self._tapped.add(name)
        elif event.type == pygame.KEYUP:
            self._held.discard(pygame.key.name(event.key))
        elif event.type == pygame.WINDOWFOCUSLOST:  # the release of a key would go elsewhere
            self._held.clear()

    def read(self, time: float) -> Reading:
        """Say what the keys amount to, see `Device`."""
        dt = self._elapsed(time)
        keys = self._held | self._tapped
        self._tapped.clear()
        towards = float(bool(keys & self.RIGHT)) - float(bool(keys & self.LEFT))
        return Reading(
            time,
            self.wheel.turn(towards, dt),
            throttle=float(bool(keys & self.FORWARD)),
            brake=float(bool(keys & self.BACKWARD)),
            buttons=self._pressed(),
            active=bool(keys),
        )


@dataclass(frozen=True)
class Layout:
    """Where a gamepad has what, by pygame's numbers.

    Attributes:
        steering: axis, -1 left to 1 right.
        throttle: axis of a trigger, -1 let go to 1 pressed.
        brake: the same.
        buttons: number of a button to one of `BUTTONS`.
    """

    steering: int = 0
    throttle: int = 5
    brake: int = 2
    buttons: Mapping[int, str] | None = None

    def button(self, number: int) -> str | None:
        """What a button asks for."""
        defaults = {0: "take_over", 1: "hand_back", 2: "record", 3: "discard", 7: "pause"}
        return (defaults if self.buttons is None else self.buttons).get(number)


XBOX = Layout()
"""Pads like Xbox's: A takes over, B hands back, X records, Y discards, Start pauses."""
PLAYSTATION = Layout(brake=4, buttons={0: "take_over", 1: "hand_back", 2: "record", 3: "discard", 6: "pause"})
"""Pads like PlayStation's: cross, circle, square, triangle, options."""


class Gamepad(_PygameDevice):
    """Gamepads: the left stick steers, the right trigger is the throttle, the left one the brake.

    Every pad that is plugged in is listened to, also one that comes later; whose steering or pedals are
    moved furthest counts.

    Args:
        layout: where the pads have what; None goes by their names, and is `XBOX` if these say nothing.
        dead_zone: share of the stick's way around its middle that counts as the middle.

    Raises:
        MissingDependencyError: pygame is not installed.
        OptionError: ``dead_zone`` is out of range.
    """

    def __init__(self, layout: Layout | None = None, dead_zone: float = DEAD_ZONE) -> None:
        super().__init__()
        self.layout = layout
        self.dead_zone = check_number("dead_zone", dead_zone, 0.0, 0.9)
        self._pads: dict[int, _Pad] = {}
        self._pygame.joystick.init()  # from now on pads announce themselves in the queue

    @property
    def connected(self) -> int:
        """How many pads are plugged in."""
        return int(self._pygame.joystick.get_count())

    def handle(self, event: Any) -> None:
        """Take note of one of pygame's events; those of other devices are passed over."""
        pygame = self._pygame
        if event.type == pygame.JOYDEVICEADDED:
            joystick = pygame.joystick.Joystick(event.device_index)
            self._pads[joystick.get_instance_id()] = _Pad(
                self.layout or _layout(joystick.get_name()), joystick
            )
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
        elif event.type == pygame.JOYAXISMOTION:
            self._pad(event.instance_id).move(event.axis, event.value, self.dead_zone)
        elif event.type == pygame.JOYBUTTONDOWN:
            button = self._pad(event.instance_id).layout.button(event.button)
            if button is not None:
                self._buttons.add(button)

    def read(self, time: float) -> Reading:
        """Say what is done with the pads, see `Device`."""
        pads = sorted(self._pads.values(), key=_Pad.effort)
        pad = pads[-1] if pads else _Pad(XBOX)
        return Reading(time, pad.steering, pad.throttle, pad.brake, self._pressed(), pad.effort() > 0.0)

    def _pad(self, instance: int) -> _Pad:
        return self._pads.setdefault(instance, _Pad(self.layout or XBOX))


@dataclass
class _Pad:
    """What one gamepad's axes say."""

    layout: Layout
    joystick: Any = None  # pygame sends events only for pads that somebody holds on to
    steering: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0

    def move(self, axis: int, value: float, dead_zone: float) -> None:
        """An axis has moved to a value in [-1, 1]."""
        if axis == self.layout.steering:
            beyond = max(0.0, abs(value) - dead_zone) / (1.0 - dead_zone)
            self.steering = float(np.clip(np.copysign(beyond, value), -1.0, 1.0))
        elif axis in (self.layout.throttle, self.layout.brake):
            pressed = min(1.0, 0.5 * (value + 1.0))
            pressed = pressed if pressed > HALF_PRESSED else 0.0
            if axis == self.layout.throttle:
                self.throttle = pressed
            else:
                self.brake = pressed

    def effort(self) -> float:
        return max(abs(self.steering), self.throttle, self.brake)


class Human:
    """One human, or several, as an expert.

    Whoever of those at the devices got active last drives. A device is given by its name, or is anything
    with a ``read``, see `Device`. Keyboards and gamepads are read from pygame's queue, which needs a
    window to be open, such as that of ``render_mode="human"``.

    Example:
        >>> env = gymnasium.make("UdacitySim-v0", render_mode="human")              # doctest: +SKIP
        >>> record(env, Human("keyboard", "gamepad"), "my-drive", laps=1)
    """

    driver = HUMAN
    """Who drives, as recordings keep it."""

    last: Reading
    """What was done when it was read last."""

    def __init__(self, *devices: str | Device) -> None:
        """Choose devices.

        Args:
            devices: "keyboard", "gamepad", or objects; none is both of these.

        Raises:
            OptionError: There is no device of that name, or it has no ``read``.
            MissingDependencyError: pygame is not installed.
        """
        self.devices: tuple[Device, ...] = tuple(map(_device, devices or ("keyboard", "gamepad")))
        self.last = Reading(0.0)
        self._since: dict[int, int] = {}
        self._readings = 0
        self._last = 0

    def read(self, observation: Any, info: Mapping[str, Any]) -> Reading:
        """Say what is done at the devices, at the time that ``info`` tells.

        Raises:
            DisplayError: No window is open from which keyboards and gamepads could be read.
        """
        self._pump()
        self._readings += 1
        readings = [device.read(float(info["time"])) for device in self.devices]
        for i, reading in enumerate(readings):
            if not reading.active:
                self._since.pop(i, None)
            else:
                self._since.setdefault(i, self._readings)
        if self._since:
            self._last = max(self._since, key=lambda i: (self._since[i], -i))
        buttons = frozenset[str]().union(*(reading.buttons for reading in readings))
        self.last = replace(readings[self._last], buttons=buttons)
        return self.last

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`."""
        return self.read(observation, info).action

    def _pump(self) -> None:
        """Hand out what is in pygame's queue. There is one queue; each device picks what is its own."""
        listening = [device for device in self.devices if isinstance(device, _PygameDevice)]
        if not listening:
            return
        pygame = _import_pygame()
        if not pygame.display.get_init():
            raise DisplayError(
                "keyboards and gamepads are read through a window, and none is open: make the environment "
                'with render_mode="human", and reset it first'
            )
        for event in pygame.event.get([getattr(pygame, name) for name in INPUT_EVENTS]):
            for device in listening:
                device.handle(event)


def _device(device: str | Device) -> Device:
    if device == "keyboard":
        return Keyboard()
    if device == "gamepad":
        return Gamepad()
    if isinstance(device, str) or not callable(getattr(device, "read", None)):
        raise OptionError(f"a device is 'keyboard', 'gamepad', or has read(time) -> Reading; got {device!r}")
    return device


def _layout(name: str) -> Layout:
    known = ("playstation", "ps3", "ps4", "ps5", "dualshock", "dualsense", "sony")
    return PLAYSTATION if any(word in name.lower() for word in known) else XBOX


def _import_pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    with warnings.catch_warnings():  # pygame's own import of pkg_resources warns, which helps nobody here
        warnings.simplefilter("ignore")
        return require("pygame", "driving by keyboard or gamepad")
