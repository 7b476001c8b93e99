"""Safety of remote driving, on a clock that is set by hand."""

import math

from udacity_gym.cockpit.link import NEUTRAL, Controls, Limits, Link
from udacity_gym.cockpit.seats import PageDevice, Seats

LEFT = Controls(frozenset({"left"}))
GAS = Controls(throttle=1.0)


def make_link(clock):
    link = Link(clock, Limits())
    stamp = link.send()
    link.show(stamp)
    return link, stamp


def test_a_command_counts_until_its_image_is_300_ms_old(clock):
    link, stamp = make_link(clock)
    link.command(stamp, 1, GAS)
    clock.now += 0.299
    assert link.controls() == GAS
    clock.now += 0.002
    assert link.controls() == NEUTRAL


def test_a_command_that_answers_to_an_old_image_never_counts(clock):
    link, stamp = make_link(clock)
    clock.now += 0.31
    link.command(stamp, 1, GAS)  # it has just come, and is old all the same
    assert link.controls() == NEUTRAL


def test_commands_keep_counting_while_new_images_are_drawn(clock):
    link, stamp = make_link(clock)
    for sequence in range(100):
        clock.now += 0.05
        stamp = link.send()
        link.show(stamp)
        link.command(stamp, sequence, GAS)
        assert link.controls() == GAS
        assert link.trouble() is None


def test_a_stamp_of_the_future_is_no_way_around(clock):
    link, _ = make_link(clock)
    link.command(link.now() + 10**9, 1, GAS)
    clock.now += 0.31
    assert link.controls() == NEUTRAL


def test_a_silent_connection_is_neutral_after_300_ms_and_lost_after_1_s(clock):
    link, stamp = make_link(clock)
    link.command(stamp, 1, GAS)
    clock.now += 0.301
    assert link.controls() == NEUTRAL
    assert not link.is_lost()
    clock.now += 0.7
    assert link.is_lost()
    assert link.trouble() == "connection lost"


def test_driving_is_locked_while_the_image_is_frozen_and_the_reason_is_said(clock):
    link, stamp = make_link(clock)
    link.command(stamp, 1, GAS)
    unshown = link.send()
    clock.now += 0.31
    link.heard()
    assert str(link.trouble()).startswith("image frozen for")
    assert link.controls() == NEUTRAL
    clock.now += 0.01
    link.show(unshown)
    assert str(link.trouble()).startswith("connection slow")


def test_driving_is_locked_while_the_round_trip_is_above_300_ms(clock):
    link, _ = make_link(clock)
    stamp = link.send()
    clock.now += 0.299
    link.show(stamp)
    assert link.trouble() is None
    assert math.isclose(link.round_trip, 0.299, abs_tol=5e-3)
    stamp = link.send()
    clock.now += 0.301
    link.show(stamp)
    link.command(stamp, 1, GAS)
    assert "slow" in str(link.trouble())
    assert link.controls() == NEUTRAL
    stamp = link.send()
    clock.now += 0.05
    link.show(stamp)
    link.command(stamp, 2, GAS)
    assert link.trouble() is None
    assert link.controls() == GAS


def test_an_image_that_was_never_sent_freezes_nothing(clock):
    link, _stamp = make_link(clock)
    clock.now += 0.9  # the server was busy, the page was not
    link.heard()
    assert link.trouble() is None


def test_a_tap_between_two_steps_counts_for_one(clock):
    link, stamp = make_link(clock)
    link.command(stamp, 1, LEFT)
    link.command(stamp, 2, NEUTRAL)
    assert link.is_active()
    assert link.controls() == LEFT
    assert link.controls() == NEUTRAL
    assert not link.is_active()


def test_a_command_that_was_overtaken_is_dropped(clock):
    link, stamp = make_link(clock)
    link.command(stamp, 2, NEUTRAL)
    link.command(stamp, 1, GAS)
    assert link.controls() == NEUTRAL


def test_the_first_page_drives_and_others_watch(clock):
    seats = Seats(clock, Limits())
    first, second = seats.join(), seats.join()
    for page in (first, second):
        stamp = seats.send(page)
        seats.show(page, stamp)
        seats.command(page, stamp, 1, LEFT if page == first else GAS)
    assert seats.driver == first
    assert seats.controls()[0] == LEFT


def test_whoever_gets_the_wheel_begins_with_nothing_held(clock):
    seats = Seats(clock, Limits())
    first, second = seats.join(), seats.join()
    stamp = seats.send(first)
    seats.show(first, stamp)
    seats.command(first, stamp, 1, GAS)
    assert seats.controls()[0] == GAS
    seats.hand_over(first, second)
    assert seats.controls()[0] == NEUTRAL
    seats.hand_over(second, first)
    assert seats.controls()[0] == NEUTRAL


def test_only_the_driver_hands_over(clock):
    seats = Seats(clock, Limits())
    first, second = seats.join(), seats.join()
    assert not seats.hand_over(second)
    assert seats.hand_over(first, second)
    assert seats.driver == second
    assert not seats.hand_over(first, first)
    assert seats.hand_over(second, 99) is False
    assert seats.driver == second


def test_whoever_watches_may_take_the_wheel_of_a_lost_driver(clock):
    seats = Seats(clock, Limits())
    first, second = seats.join(), seats.join()
    clock.now += 1.1
    seats.heard(second)
    assert seats.hand_over(second)
    assert seats.driver == second
    seats.leave(second)
    assert seats.driver is None
    assert seats.trouble() == "nobody has the wheel"
    assert seats.hand_over(first)


def test_held_keys_turn_the_wheel_as_unitys_and_an_analogue_wheel_sets_it(clock):
    seats = Seats(clock, Limits())
    page, device = seats.join(), PageDevice(seats)
    stamp = seats.send(page)
    seats.show(page, stamp)
    seats.command(page, stamp, 1, LEFT)
    steering = [device.read(time).steering for time in (0.0, 0.1, 0.2, 0.5)]
    assert steering == [0.0, -0.25, -0.5, -1.0]
    seats.command(page, stamp, 2, Controls(steering=0.3, throttle=0.5))
    reading = device.read(0.6)
    assert (reading.steering, reading.throttle, reading.active) == (0.3, 0.5, True)
    seats.command(page, stamp, 3, NEUTRAL)
    assert abs(device.read(0.65).steering - 0.15) < 1e-9  # and back by itself
