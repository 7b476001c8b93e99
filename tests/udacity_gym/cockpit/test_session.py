"""The car of the cockpit, without a browser."""

import json
import socket

import numpy as np
import pytest

from tests.udacity_gym.protocol.unity_like import UnityLike
from udacity_gym.cockpit import Limits, Setup
from udacity_gym.cockpit.link import NEUTRAL, Controls
from udacity_gym.cockpit.teaching import Round
from udacity_gym.errors import OptionError
from udacity_gym.recording import open_recording

GAS, RIGHT, LEFT = (Controls(frozenset({name})) for name in ("up", "right", "left"))


class Hands:
    """Somebody at a page, without a page."""

    def __init__(self, watched):
        self.seats = watched.session.seats
        self.page = self.seats.join()
        self.sequence = 0

    def do(self, controls):
        self.sequence += 1
        stamp = self.seats.send(self.page)
        self.seats.show(self.page, stamp)
        self.seats.command(self.page, stamp, self.sequence, controls)


def ask(watched, request):
    return watched.session.ask(request).result(240)


def test_the_car_waits_until_somebody_steers(make_session):
    watched = make_session()
    hands = Hands(watched)
    assert watched.until(lambda state: state.get("car"))["who"] == "paused"
    hands.do(GAS)
    state = watched.until(lambda state: state.get("car", {}).get("speed", 0) > 1.0)
    assert state["who"] == "driving"
    assert state["car"]["throttle"] == 1.0


def test_a_lost_connection_pauses_the_car_and_says_why(make_session, clock):
    watched = make_session(clock=clock, limits=Limits())
    hands = Hands(watched)
    hands.do(GAS)
    watched.until(lambda state: state["who"] == "driving")
    clock.now += 1.01
    state = watched.until(lambda state: state["who"] == "paused")
    assert state["hold"] == "connection lost"
    hands.do(NEUTRAL)  # it is back, but nobody has touched anything
    assert watched.until(lambda state: state["trouble"] is None)["who"] == "paused"
    hands.do(GAS)
    watched.until(lambda state: state["who"] == "driving")


def test_a_page_that_leaves_pauses_the_car(make_session):
    watched = make_session()
    hands = Hands(watched)
    hands.do(GAS)
    watched.until(lambda state: state["who"] == "driving")
    hands.seats.leave(hands.page)
    assert watched.until(lambda state: state["who"] == "paused")["hold"] == "nobody has the wheel"


def test_pause_one_step_and_go(make_session):
    watched = make_session()
    Hands(watched)
    watched.until(lambda state: state.get("car"))
    ask(watched, watched.session.single_step)
    assert watched.until(lambda state: state["car"]["time"] > 0)["car"]["time"] == pytest.approx(
        1 / 30, abs=1e-3
    )
    assert watched.shot.state["who"] == "paused"
    ask(watched, watched.session.toggle_pause)
    watched.until(lambda state: state["who"] == "driving" and state["car"]["time"] > 0.1)


def test_a_recording_has_15_frames_a_second_and_reads_back(make_session, tmp_path):
    watched = make_session()
    hands = Hands(watched)
    watched.until(lambda state: state.get("car"))
    ask(watched, lambda: watched.session.record(tmp_path / "laps"))
    hands.do(GAS)
    watched.until(lambda state: state["tape"]["frames"] >= 30)
    ask(watched, watched.session.pause)
    frames = ask(watched, watched.session.finish)
    recording = open_recording(tmp_path / "laps")
    assert len(recording) == frames
    assert len(recording.episodes) == 1
    episode = recording.episodes[0]
    assert np.allclose(np.diff(episode.time), 1 / 15, atol=2e-3)
    assert {extra["driver"] for extra in episode.extras()} == {"human"}
    assert set(episode.throttle) == {1.0}
    assert {finding.kind.name for finding in recording.report} <= {"standing still"}


def test_the_last_seconds_or_the_episode_can_be_thrown_away(make_session, tmp_path):
    watched = make_session()
    hands = Hands(watched)
    watched.until(lambda state: state.get("car"))
    ask(watched, lambda: watched.session.record(tmp_path / "laps"))
    hands.do(GAS)
    watched.until(lambda state: state["tape"]["frames"] >= 25)
    ask(watched, watched.session.pause)
    before = watched.session.tape.frames
    assert ask(watched, lambda: watched.session.discard(1.0)) == 15
    assert ask(watched, lambda: watched.session.discard(None)) == before - 15
    assert ask(watched, lambda: watched.session.discard(None)) == 0
    ask(watched, watched.session.resume)
    watched.until(lambda state: state["tape"]["frames"] >= 10)
    ask(watched, watched.session.pause)
    frames = ask(watched, watched.session.finish)
    recording = open_recording(tmp_path / "laps")
    assert len(recording) == frames
    assert len(list((tmp_path / "laps" / "IMG").iterdir())) == 3 * frames


def test_leaving_the_road_drops_the_seconds_before_it_and_says_so(make_session, tmp_path):
    watched = make_session(drop=1.0)
    hands = Hands(watched)
    watched.until(lambda state: state.get("car"))
    ask(watched, lambda: watched.session.record(tmp_path / "laps"))
    hands.do(Controls(frozenset({"up", "right"})))
    state = watched.until(lambda state: state["laps"]["falls"] >= 1)
    ask(watched, watched.session.pause)
    assert state["tape"]["dropped"] >= 15
    assert "off the road" in state["event"]["text"]
    assert "frames, were dropped" in state["event"]["text"]
    ask(watched, watched.session.finish)
    recording = open_recording(tmp_path / "laps")
    assert all(not extra.get("offroad") for episode in recording.episodes for extra in episode.extras())
    assert all(abs(extra["cte"]) < 4.0 for episode in recording.episodes for extra in episode.extras())


def test_the_lap_clock_goes_on_after_a_fall(make_session):
    watched = make_session()
    hands = Hands(watched)
    hands.do(Controls(frozenset({"up", "right"})))
    state = watched.until(lambda state: state["laps"]["falls"] >= 2 and state["laps"]["lap"] == 0)
    assert state["laps"]["time"] > state["car"]["time"]


def test_touching_takes_over_from_a_policy_and_letting_go_hands_back(make_session, tmp_path):
    watched = make_session(Setup(driver="pure_pursuit"))
    hands = Hands(watched)
    watched.until(lambda state: state.get("car"))
    ask(watched, lambda: watched.session.record(tmp_path / "taken"))
    ask(watched, watched.session.resume)
    watched.until(lambda state: state["who"] == "autonomous" and state["car"]["speed"] > 3)
    hands.do(LEFT)
    watched.until(lambda state: state["who"] == "correcting")
    hands.do(NEUTRAL)
    watched.until(lambda state: state["who"] == "autonomous")
    ask(watched, watched.session.pause)
    ask(watched, watched.session.finish)
    drivers = [
        extra["driver"]
        for episode in open_recording(tmp_path / "taken").episodes
        for extra in episode.extras()
    ]
    assert {"expert", "human"} <= set(drivers)
    assert "policy_action" in json.dumps(open_recording(tmp_path / "taken").episodes[0].extras()[0])


def test_a_round_counts_records_and_sums_up_the_same_labels_without_the_idle_second(make_session, tmp_path):
    watched = make_session()
    hands = Hands(watched)
    round = Round(
        number=1,
        of=1,
        policy="pretrained:lake",
        setup=watched.session.setup,
        folder=tmp_path / "collected",
        frames=100_000,
    )
    ask(watched, lambda: watched.session.teach(round))
    ask(watched, watched.session.resume)
    watched.until(lambda state: state.get("round", {}).get("frames", 0) > 3)
    hands.do(LEFT)
    watched.until(lambda state: state["round"]["labels"] >= 3)
    hands.do(NEUTRAL)
    watched.until(lambda state: state["who"] == "autonomous")
    ask(watched, watched.session.pause)
    shown = ask(watched, round.as_json)
    ask(watched, watched.session.end_round)
    recording = open_recording(tmp_path / "collected")
    extras = [extra for episode in recording.episodes for extra in episode.extras()]
    is_label = ["expert_action" in extra for extra in extras]
    assert shown["labels"] == sum(is_label) >= 3
    assert sum(extra.get("skipped", False) for extra in extras) == 15, "the second until the policy drives"
    assert sum(extra["driver"] == "human" for extra in extras) == sum(is_label) + 15
    episodes = json.loads((tmp_path / "collected" / "episodes.json").read_text())["episodes"]
    assert sum(episode["labels"] for episode in episodes) == sum(is_label)
    assert sum(episode["frames"] for episode in episodes) == shown["frames"] == len(extras)


def test_another_track_begins_anew_and_a_wrong_one_changes_nothing(make_session):
    watched = make_session()
    Hands(watched)
    watched.until(lambda state: state.get("car"))
    with pytest.raises(OptionError, match="no conditions 'sunny'"):
        ask(watched, lambda: watched.session.configure({"conditions": "sunny"}))
    with pytest.raises(OptionError, match="no setting simulator"):
        ask(watched, lambda: watched.session.configure({"simulator": "/bin/sh"}))
    ask(watched, lambda: watched.session.configure({"track": "jungle", "conditions": "rain"}))
    state = watched.until(
        lambda state: state["ready"] and state["setup"]["track"] == "jungle" and state.get("car")
    )
    assert state["setup"]["conditions"] == "rain"
    assert state["who"] == "paused"


def test_a_policy_that_fails_stops_the_drive_with_its_message(make_session):
    watched = make_session()
    Hands(watched)
    watched.until(lambda state: state.get("car"))
    ask(watched, lambda: watched.session.configure({"driver": "no-such-policy"}))
    state = watched.until(lambda state: state["who"] == "stopped")
    assert "no-such-policy is neither the path of a policy" in state["problem"]
    ask(watched, watched.session.retry)
    watched.until(lambda state: state["problem"] is None)
    watched.until(lambda state: state["who"] == "stopped")
    ask(watched, lambda: watched.session.configure({"driver": "human"}))
    watched.until(lambda state: state["who"] == "paused" and state["problem"] is None and state.get("car"))


def test_nothing_is_drawn_while_nobody_looks(make_session):
    watched = make_session()
    watched.until(lambda state: state.get("car"))
    assert not watched.shot.images
    watched.session.watch(1)
    watched.until(lambda state: watched.shot.images)
    assert watched.shot.images["view"].startswith(b"\xff\xd8")
    ask(watched, lambda: watched.session.set_view("cockpit", True))
    watched.until(lambda state: set(watched.shot.images) == {"view", "left", "center", "right"})


def test_a_simulator_like_unitys_is_driven_and_recorded_and_shows_only_what_it_can_do(make_session, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    watched = make_session(Setup(simulator="remote", port=port), real_time=True)
    watched.session.watch(1)
    hands = Hands(watched)
    assert watched.until(lambda state: True)["who"] == "loading"
    with UnityLike(port, fps=50) as unity:
        watched.until(lambda state: state.get("car") and watched.shot.images)
        features = watched.session.features
        assert (features["views"], features["restarts"], features["holds"]) == (["center"], False, False)
        assert features["track"] is None
        assert not features["chooses"]
        ask(watched, lambda: watched.session.record(tmp_path / "unity"))
        hands.do(Controls(steering=0.5, throttle=0.4))
        watched.until(lambda state: state["tape"]["frames"] >= 5)
        ask(watched, watched.session.pause)
        frames = ask(watched, watched.session.finish)
        steers = [data["steering_angle"] for event, data in unity.commands if event == "steer"]
        assert max(map(float, steers)) > 0
    recording = open_recording(tmp_path / "unity")
    assert len(recording) == frames
    assert recording.cameras == ("center",)
    assert recording.episodes[0].steering[-1] == 0.5
