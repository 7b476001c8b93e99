"""Recorded input streams go through pygame's real queue into the real devices."""

import numpy as np
import pytest

from udacity_gym.driving.human import PLAYSTATION, Layout, _layout
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import DisplayError, MissingDependencyError, OptionError
from udacity_gym.experts import Gamepad, Human, Keyboard, PurePursuit, Reading
from udacity_gym.recording import record
from udacity_gym.telemetry import CAMERAS

pygame = pytest.importorskip("pygame")

DT = 0.05
LEFT, RIGHT, W, S = pygame.K_LEFT, pygame.K_RIGHT, pygame.K_w, pygame.K_s


def press(*keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


def let_go(*keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))


def axis(number, value, pad=0):
    pygame.event.post(pygame.event.Event(pygame.JOYAXISMOTION, instance_id=pad, axis=number, value=value))


def button(number, pad=0):
    pygame.event.post(pygame.event.Event(pygame.JOYBUTTONDOWN, instance_id=pad, button=number))


class Clock:
    """Reads a person at equal times."""

    def __init__(self, human):
        self.human, self.time = human, -DT

    def __call__(self, count=1):
        readings = []
        for _ in range(count):
            self.time += DT
            readings.append(self.human.read(None, {"time": self.time}))
        return readings if count > 1 else readings[0]


def test_the_wheel_turns_to_full_lock_and_back_as_with_unitys_keyboard(window):
    read = Clock(Human("keyboard"))
    read()
    press(RIGHT)
    turning = [reading.steering for reading in read(10)]
    np.testing.assert_allclose(turning, np.minimum(1.0, 2.5 * DT * np.arange(1, 11)))
    let_go(RIGHT)
    returning = [reading.steering for reading in read(10)]
    np.testing.assert_allclose(returning, np.maximum(0.0, 1.0 - 3.0 * DT * np.arange(1, 11)), atol=1e-12)


def test_the_wheel_goes_back_before_it_turns_the_other_way(window):
    read = Clock(Human("keyboard"))
    read()
    press(RIGHT)
    assert read(8)[-1].steering == pytest.approx(1.0)
    let_go(RIGHT)
    press(LEFT)
    steering = [reading.steering for reading in read(14)]
    assert steering[0] == pytest.approx(1.0 - 3.0 * DT)
    # 1/3 s back, then 0.4 s to the other lock.
    assert steering[13] == pytest.approx(-2.5 * (14 * DT - 1 / 3))
    press(RIGHT)  # both: neither
    assert read(20)[-1].steering == 0.0


def test_pedals_are_pressed_at_once_and_a_short_tap_is_not_lost(window):
    read = Clock(Human("keyboard"))
    press(W)
    assert (read().throttle, read().brake) == (1.0, 0.0)
    let_go(W)
    press(S)
    let_go(S)
    first, second = read(2)
    assert (first.throttle, first.brake, first.active) == (0.0, 1.0, True)
    assert (second.brake, second.active) == (0.0, False)
    np.testing.assert_array_equal(first.action, [0.0, -1.0])


def test_keys_are_let_go_when_the_window_loses_the_focus(window):
    read = Clock(Human("keyboard"))
    press(W)
    assert read().throttle == 1.0
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    assert read(2)[-1] == Reading(2 * DT)


def test_buttons_are_told_once(window):
    read = Clock(Human("keyboard"))
    press(pygame.K_t, pygame.K_p, pygame.K_r, pygame.K_RETURN)
    assert read().buttons == {"take_over", "pause", "record", "hand_back"}
    assert read().buttons == frozenset()


def test_a_stick_steers_and_triggers_are_pedals(window):
    read = Clock(Human("gamepad"))
    assert read() == Reading(0.0)
    axis(0, 1.0)
    axis(5, 0.0)
    axis(2, -1.0)
    now = read()
    assert (now.steering, now.throttle, now.brake, now.active) == (1.0, 0.5, 0.0, True)
    axis(0, -0.54)
    axis(5, -1.0)
    axis(2, 1.0)
    now = read()
    assert now.steering == pytest.approx(-0.5)
    assert (now.throttle, now.brake) == (0.0, 1.0)
    axis(0, 0.05)
    axis(2, -0.97)
    assert read() == Reading(read.time), "sticks rest a little beside the middle"


def test_buttons_of_pads_are_those_of_their_layout(window):
    read = Clock(Human(Gamepad()))
    for number in (0, 1, 2, 7, 11):
        button(number)
    assert read().buttons == {"take_over", "hand_back", "record", "pause"}
    mine = Clock(Human(Gamepad(Layout(steering=3, buttons={9: "pause"}))))
    axis(3, 1.0)
    button(9)
    button(0)
    now = mine()
    assert (now.steering, now.buttons) == (1.0, {"pause"})
    assert _layout("Sony DualSense Wireless Controller") is PLAYSTATION
    assert _layout("Xbox 360 Controller") is not PLAYSTATION


def test_a_pad_that_is_unplugged_lets_go_of_the_wheel(window):
    read = Clock(Human("gamepad"))
    axis(0, -1.0, pad=3)
    assert read().steering == -1.0
    pygame.event.post(pygame.event.Event(pygame.JOYDEVICEREMOVED, instance_id=3))
    assert not read().active


def test_who_got_active_last_drives_and_all_buttons_count(window):
    read = Clock(Human("keyboard", "gamepad"))
    press(W)
    assert read().throttle == 1.0
    axis(0, -1.0)
    button(0)
    press(pygame.K_p)
    now = read()
    assert (now.steering, now.throttle) == (-1.0, 0.0)
    assert now.buttons == {"take_over", "pause"}
    axis(0, 0.0)
    assert read().throttle == 1.0, "the other one still holds a key"
    let_go(W)
    assert not read().active


def test_a_device_of_another_kind_drives_along(window):
    class Page:
        """What a page in a browser will be."""

        def __init__(self):
            self.sent = Reading(0.0)

        def read(self, time):
            return self.sent

    page = Page()
    read = Clock(Human("keyboard", page))
    press(LEFT)
    read(3)
    page.sent = Reading(9.0, steering=0.3, throttle=0.2, active=True)
    assert read() is not None
    assert read().steering == 0.3


def test_the_window_leaves_input_to_the_person(window):
    read = Clock(Human("keyboard"))
    press(W)
    window.show(np.zeros((48, 64, 3), np.uint8), 1000)
    assert read().throttle == 1.0


def test_a_person_is_an_expert_and_is_recorded_as_one(window, tmp_path):
    human = Human("keyboard")
    stream = {2: (press, W), 6: (press, RIGHT), 12: (let_go, RIGHT)}
    steps = iter(range(1000))

    def at_the_keys(observation, info):
        step = next(steps)
        if step in stream:
            what, key = stream[step]
            what(key)
        return human(observation, info)

    at_the_keys.driver = human.driver
    env = UdacityEnv(cameras=CAMERAS)
    recording = record(env, at_the_keys, tmp_path, seconds=1)
    (episode,) = recording.episodes
    assert episode.throttle.tolist() == [0.0] * 2 + [1.0] * 13
    assert episode.steering[5] == 0.0
    np.testing.assert_allclose(episode.steering[6:12], 2.5 / 15 * np.arange(1, 7), atol=1e-6)
    assert np.all(np.diff(episode.steering[11:]) < 0)
    assert episode[3].extra["driver"] == "human"


def test_what_is_no_device_is_refused():
    with pytest.raises(OptionError, match="keyboard"):
        Human("joystick")
    with pytest.raises(OptionError, match="read"):
        Human(PurePursuit())
    with pytest.raises(OptionError, match="turning"):
        Keyboard(turning=0.0)
    with pytest.raises(OptionError, match="dead_zone"):
        Gamepad(dead_zone=1.0)


def test_without_a_window_people_are_told_to_open_one(window):
    human = Human("keyboard")
    window.close()
    with pytest.raises(DisplayError, match='render_mode="human"'):
        human.read(None, {"time": 0.0})


def test_without_pygame_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pygame", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*\[human\]"):
        Keyboard()
