import itertools

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from udacity_gym.driving import (
    Corrections,
    EpisodeCounter,
    GatedDriver,
    Handover,
    Human,
    HumanGate,
    Reading,
    drive,
)
from udacity_gym.driving.handover import TABLE, Signal, State
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.experts import PurePursuit, ScriptedHuman
from udacity_gym.recording import Recorder, open_recording, recorder, writer
from udacity_gym.telemetry import CAMERAS

DT = 1 / 15
A, P, C = State.AUTONOMOUS, State.PAUSED, State.CORRECTING
STRAIGHT = np.array([0.0, 0.3], np.float32)


class Script:
    """A person who does what is written, step by step; nothing after that."""

    def __init__(self, *steps):
        self.steps = iter(steps)

    def read(self, observation, info):
        step = next(self.steps, {})
        return Reading(info["time"], **{key: step[key] for key in step})


def touch(steering=0.5, **more):
    return {"steering": steering, "throttle": 0.2, "active": True, **more}


def press(*buttons):
    return {"buttons": frozenset(buttons)}


class Policy:
    """Gives the same action again and again, or one after the other."""

    def __init__(self, actions=None):
        self._moves = itertools.repeat(STRAIGHT) if actions is None else iter(actions)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return next(self._moves), state


def driven(script, actions=None, steps=None, **settings):
    """Steps of a drive by a policy and a human, and the state after each of them."""
    handover = Handover(Policy(actions), Script(*script), **settings)
    drive_steps, states = [], []
    shared = drive(UdacityEnv(cameras=()), handover, seed=0, stuck_seconds=None)
    for step in itertools.islice(shared, steps or len(script)):
        drive_steps.append(step)
        states.append(handover.state)
    return drive_steps, states, handover


def drivers_of(steps):
    return ["nobody" if step.decision is None else step.decision.driver for step in steps]


def test_the_table_has_every_signal_in_every_state():
    assert set(TABLE) == set(itertools.product(State, Signal))


@pytest.mark.parametrize(
    ("state", "signal", "then"),
    [
        (A, Signal.TAKE_OVER, C),
        (A, Signal.HAND_BACK, A),
        (A, Signal.PAUSE, P),
        (A, Signal.RESUME, A),
        (P, Signal.TAKE_OVER, C),
        (P, Signal.HAND_BACK, A),
        (P, Signal.PAUSE, P),
        (P, Signal.RESUME, A),
        (C, Signal.TAKE_OVER, C),
        (C, Signal.HAND_BACK, A),
        (C, Signal.PAUSE, P),
        (C, Signal.RESUME, C),
    ],
)
def test_every_transition_is_as_the_table_says(state, signal, then):
    assert TABLE[state, signal] is then


INTO = {A: [{}], P: [press("pause")], C: [touch()]}


@pytest.mark.parametrize(
    ("state", "doing", "then", "driver"),
    [
        (A, {}, A, "policy"),
        (A, touch(), C, "human"),
        (A, press("take_over"), C, "human"),
        (A, press("hand_back"), A, "policy"),
        (A, press("pause"), P, "nobody"),
        (P, {}, P, "nobody"),
        (P, touch(), C, "human"),
        (P, press("take_over"), C, "human"),
        (P, press("hand_back"), A, "policy"),
        (P, press("pause"), A, "policy"),
        (C, {}, C, "human"),
        (C, touch(), C, "human"),
        (C, press("take_over"), C, "human"),
        (C, press("hand_back"), A, "policy"),
        (C, press("pause"), P, "nobody"),
        (C, touch(buttons=frozenset({"hand_back"})), C, "human"),
        (A, touch(buttons=frozenset({"pause"})), C, "human"),
        (C, touch(buttons=frozenset({"pause"})), P, "nobody"),
    ],
)
def test_what_people_do_leads_from_state_to_state(state, doing, then, driver):
    steps, states, handover = driven([*INTO[state], doing])
    assert states == [state, then]
    assert drivers_of(steps)[1] == driver
    assert handover.state is then


def test_a_person_wins_from_the_same_step_on():
    steps, _, handover = driven([{}, touch(throttle=0.0, brake=1.0), touch()])
    assert drivers_of(steps) == ["policy", "human", "human"]
    assert steps[1].next_info["brake"] == 1.0
    assert handover.takeovers == 1


def test_control_goes_back_when_nothing_is_touched_for_a_while():
    steps, _, _ = driven([touch(), touch()], steps=30, release=1.0)
    assert drivers_of(steps) == ["human"] * 17 + ["policy"] * 13, "two steps, and 15 without a touch"
    steps, _, _ = driven([touch()], steps=30, release=None)
    assert set(drivers_of(steps)) == {"human"}
    steps, _, _ = driven([touch()], steps=3, release=0.0)
    assert drivers_of(steps) == ["human", "policy", "policy"]


def test_hands_that_rest_on_the_wheel_do_not_end_a_pause_but_a_new_touch_does():
    held = touch()
    _, states, _ = driven([held, touch(buttons=frozenset({"pause"})), held, held, {}, held])
    assert states == [C, P, P, P, P, C]


def test_nothing_moves_in_a_pause():
    steps, _, _ = driven([{}, press("pause"), {}, {}, press("pause")])
    moving, *paused, going_on = steps
    for step in paused:
        np.testing.assert_array_equal(step.next_observation, moving.next_observation)
        assert (step.reward, step.terminated, step.truncated) == (0.0, False, False)
        assert step.is_held
        assert not step.ends_episode
        assert step.next_info["time"] == moving.next_info["time"]
        assert step.decision is None
    assert going_on.next_info["time"] == pytest.approx(2 * DT)


@pytest.mark.parametrize("rate", [1.0, 2.5])
def test_the_wheel_never_jumps_when_control_passes(rate):
    generator = np.random.default_rng(0)
    policy = np.stack([np.clip(np.cumsum(generator.normal(0, 0.03, 300)), -1, 1), np.zeros(300)], 1)
    script, human = [], []
    for step in range(300):
        hands = (step // 25) % 2 == 1
        human.append(0.8 * np.sin(step / 9))
        script.append(touch(steering=human[-1], throttle=0.0) if hands else press("hand_back"))
    steps, _, _ = driven(script, actions=policy, release=None, rate=rate)
    executed = np.array([step.next_info["steering"] for step in steps])
    drivers = drivers_of(steps)
    targets = np.where(np.array(drivers) == "human", human, policy[:, 0])
    passes = [i for i in range(1, 300) if drivers[i] != drivers[i - 1]]
    assert len(passes) == 11
    own = np.abs(np.diff(targets))
    own[np.array(passes) - 1] = 0.0  # from one driver to the other: nobody moved the wheel
    assert (np.abs(np.diff(executed)) <= own + rate * DT + 1e-6).all()
    gaps = [abs(targets[i] - executed[i - 1]) for i in passes]
    assert max(gaps) > 0.5, "there was something to jump over"
    # In the end, each has the wheel where they want it.
    settled = [i + int(np.ceil(gap / (rate * DT))) for i, gap in zip(passes, gaps, strict=True)]
    for i in settled:
        if i < 300 and drivers[i] == drivers[i - 1]:
            assert executed[i] == pytest.approx(targets[i], abs=1e-6)


def test_an_undisturbed_policy_drives_as_without_handover():
    expert, handover = PurePursuit(), Handover(PurePursuit(), Script())
    bare, with_human = (
        list(drive(UdacityEnv(cameras=()), driver, steps=60, seed=0)) for driver in (expert, handover)
    )
    for one, other in zip(bare, with_human, strict=True):
        np.testing.assert_array_equal(one.next_info["pose"], other.next_info["pose"])


def test_a_scripted_human_brings_the_car_back_that_a_policy_loses():
    policy = Policy(itertools.repeat(np.array([0.0, 0.4], np.float32)))
    handover = Handover(policy, ScriptedHuman(PurePursuit(), seed=1))
    steps = list(drive(UdacityEnv(cameras=(), max_seconds=40), handover, seed=0))
    assert not any(step.terminated for step in steps)
    assert steps[-1].reason == "max_seconds"
    assert handover.takeovers >= 2
    assert set(drivers_of(steps)) == {"policy", "human"}
    assert np.abs(np.diff([step.next_info["steering"] for step in steps])).max() < 0.4


def test_corrections_are_an_expert_that_answers_while_the_hands_are_on_the_wheel():
    script = Script({}, touch(0.8), touch(0.8), press("pause"), {}, {}, {}, touch(-0.5))
    expert = Corrections(script, release=0.15)
    env = UdacityEnv(cameras=())
    _, info = env.reset(seed=0, options={"speed": 5.0})
    answers, executed = [], []
    for _ in range(8):
        answer = expert(None, info)
        answers.append(None if answer is None else float(answer[0]))
        _, _, _, _, info = env.step(STRAIGHT if answer is None else answer)
        executed.append(info["steering"])
    assert [answer is not None for answer in answers] == [False] + [True] * 5 + [False, True]
    np.testing.assert_allclose(executed[:3], [0.0, 2.5 * DT, 5.0 * DT], rtol=1e-6)  # by and by
    assert answers[7] == pytest.approx(-2.5 * DT), "from where the policy had it"
    _, info = env.reset(seed=0)
    assert expert(None, info) is None, "a new episode begins without"


def test_the_recording_keeps_who_drove_and_what_each_would_have_done(tmp_path):
    script = Script({}, touch(0.9), touch(0.9), press("pause"), {}, press("pause"), {})
    handover = Handover(Policy(), script, expert=PurePursuit())
    executed, labels, drivers = [], [], []
    with Recorder(tmp_path, cameras=("center",)) as recorder:
        for step in drive(UdacityEnv(cameras=()), handover, steps=5, seed=3):
            recorder.add(step)
            if step.decision is not None:
                executed.append(step.next_info["steering"])
                labels.append(PurePursuit()(step.observation, step.info))
                drivers.append(step.decision.driver)
    (episode,) = open_recording(tmp_path, strict=True).episodes
    extras = episode.extras()
    assert (
        [extra["driver"] for extra in extras] == drivers == ["policy", "human", "human", "policy", "policy"]
    )
    assert [extra["intervention"] for extra in extras] == [False, True, True, False, False]
    np.testing.assert_allclose(episode.steering, executed, atol=1e-6)
    np.testing.assert_allclose([extra["action"][0] for extra in extras], executed, atol=1e-6)
    np.testing.assert_allclose([extra["policy_action"] for extra in extras], [STRAIGHT] * 5)
    np.testing.assert_allclose([extra["expert_action"] for extra in extras], labels)
    assert CAMERAS[0] in episode.cameras


def hands(script):
    """Readings of a script: "x" touches, "h" presses "hand_back", "." does nothing."""
    return Script(*({"x": touch(), "h": press("hand_back"), ".": {}}[doing] for doing in script))


def recorded(folder, driver, steps, **env_settings):
    """Recorded entries of a drive, and the counter that saw the same steps."""
    counter = EpisodeCounter()
    env = UdacityEnv(cameras=(), **env_settings)
    with Recorder(folder, cameras=("center",)) as recorder:
        for step in drive(env, driver, steps=steps, seed=0, stuck_seconds=None, on_truncation="restart"):
            recorder.add(step)
            counter.add(step)
    episodes = open_recording(folder, strict=True).episodes
    return [extra for episode in episodes for extra in episode.extras()], counter


IDLE = [
    ("..xx........", 0.2, "  xx        "),  # three idle steps, then the policy drives
    ("..xx..x.....", 0.2, "  xxxxx     "),
    ("..xx.x..x.x...", 0.2, "  xxxxxxxxx   "),
    ("..xx.h......", 0.2, "  xx        "),
    ("..xx.", 0.2, "  xx "),  # the drive ends before it is known
    ("..xx........", None, "  xxxxxxxxxx"),  # the wheel is kept until "hand_back" is pressed
    ("..xx....h...", None, "  xxxxxx    "),
]


@pytest.mark.parametrize(("script", "release", "labels"), IDLE)
def test_idle_steps_are_labels_only_if_the_human_touches_the_controls_again(
    tmp_path, script, release, labels
):
    driver = GatedDriver(Policy(), Corrections(hands(script), release=release), HumanGate())
    extras, counter = recorded(tmp_path, driver, len(script))
    assert "".join(" x"["expert_action" in extra] for extra in extras) == labels
    assert counter.labels == counter.episodes()[0].labels == labels.count("x")
    for extra in extras:
        is_idle = extra["driver"] == "human" and "expert_action" not in extra
        assert extra.get("skipped", False) == is_idle, "learners leave out what is skipped"
        assert {"action", "policy_action", "intervention", "reward", "seed"} <= set(extra)


@pytest.mark.parametrize(("script", "release", "labels"), IDLE)
def test_a_recorded_handover_skips_the_same_idle_steps(tmp_path, script, release, labels):
    extras, _ = recorded(tmp_path, Handover(Policy(), hands(script), release=release), len(script))
    by_human = [extra["driver"] == "human" and not extra.get("skipped") for extra in extras]
    assert "".join(" x"[is_shown] for is_shown in by_human) == labels


def test_a_human_who_is_idle_for_long_can_go_on(tmp_path, monkeypatch):
    """Only so many of the last frames can still become labels."""
    monkeypatch.setattr(recorder, "REACH", 3)
    monkeypatch.setattr(writer, "REACH", 3)
    driver = GatedDriver(Policy(), Corrections(hands("..xx......xx"), release=5.0), HumanGate())
    extras, _ = recorded(tmp_path, driver, 12)
    assert "".join(" x"["expert_action" in extra] for extra in extras) == "  xx   xxxxx"


def test_the_labels_of_an_expert_who_is_asked_at_every_step_are_all_kept(tmp_path):
    handover = Handover(Policy(), hands("..xx......"), release=0.2, expert=PurePursuit())
    extras, counter = recorded(tmp_path, handover, 10)
    assert all("expert_action" in extra and "skipped" not in extra for extra in extras)
    assert counter.labels == 10


def test_the_next_episode_does_not_make_labels_of_idle_steps(tmp_path):
    driver = GatedDriver(Policy(), Corrections(hands("..xx.xx."), release=0.2), HumanGate())
    extras, counter = recorded(tmp_path, driver, 8, max_seconds=5 * DT)
    assert "".join(" x"["expert_action" in extra] for extra in extras) == "  xx xx "
    assert [episode.labels for episode in counter.episodes()] == [2, 2]


def test_rendered_images_say_who_drives():
    env = UdacityEnv(cameras=(), render_mode="rgb_array")
    handover = Handover(lambda observation, info: STRAIGHT, Script({}, touch(), press("pause")))
    captions, corners = [], []
    for _ in itertools.islice(drive(env, handover, seed=0), 3):
        captions.append(env.caption)
        corners.append(env.render()[10:35, 20:200])
    assert captions == ["expert drives", "you drive", "paused"]
    written = [(corner.min(axis=2) > 200).sum() for corner in corners]
    assert written[0] > written[1] > written[2] > 50


def test_keys_take_over_in_an_environments_window(window):
    pygame = pytest.importorskip("pygame")
    env = UdacityEnv(cameras=(), render_mode="human", ctrl_dt=0.02)
    steps = drive(env, Handover(Policy(), Human("keyboard"), release=0.1), seed=0)
    drive_steps = []
    for number in range(20):
        if number in (5, 9):
            kind = pygame.KEYDOWN if number == 5 else pygame.KEYUP
            pygame.event.post(pygame.event.Event(kind, key=pygame.K_LEFT))
        if number in (16, 18):
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_p))
        drive_steps.append(next(steps))
    env.close()
    drivers = drivers_of(drive_steps)
    assert drivers == ["policy"] * 5 + ["human"] * 9 + ["policy"] * 2 + ["nobody"] * 2 + ["policy"] * 2


def test_mistakes_are_refused():
    with pytest.raises(OptionError, match="read"):
        Handover(Policy(), "keyboard")
    with pytest.raises(OptionError, match="rate"):
        Handover(Policy(), Script(), rate=0.0)
    with pytest.raises(OptionError, match="release"):
        Handover(Policy(), Script(), release=-1.0)
    with pytest.raises(OptionError, match="a driver is a policy"):
        Handover(3, Script())
    with pytest.raises(ResetNeeded, match=r"reset\(env, info\)"):
        Handover(Policy(), Script()).decide(None, {"time": 0.0})
    for wrong in (np.zeros(1), np.array([np.nan, 0.0])):
        with pytest.raises(ActionError, match="two finite numbers"):
            next(drive(UdacityEnv(cameras=()), Handover(lambda *_, wrong=wrong: wrong, Script())))
    with pytest.raises(ActionError, match="the policy must give two finite numbers"):
        next(drive(UdacityEnv(cameras=()), Handover(Policy([[np.nan, 0.0]]), Script())))
