import itertools

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from udacity_gym.driving.handover import TABLE, Signal, State
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError, RecordingError
from udacity_gym.experts import Corrections, Human, PurePursuit, Reading, ScriptedHuman, Takeover
from udacity_gym.recording import RecordDrives, Recorder, open_recording
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


def driven(script, actions=None, steps=None, **settings):
    """Infos of a drive with takeovers."""
    env = Takeover(UdacityEnv(cameras=()), Script(*script), **settings)
    env.reset(seed=0)
    actions = itertools.repeat(STRAIGHT) if actions is None else iter(actions)
    return [env.step(next(actions))[4] for _ in range(steps or len(script))], env


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
    infos, env = driven([*INTO[state], doing])
    assert infos[0]["takeover"] == state.value
    assert infos[1]["takeover"] == then.value
    assert infos[1]["driver"] == driver
    assert env.state is then


def test_a_person_wins_from_the_same_step_on():
    infos, env = driven([{}, touch(throttle=0.0, brake=1.0), touch()])
    assert [info["driver"] for info in infos] == ["policy", "human", "human"]
    assert infos[1]["brake"] == 1.0
    assert env.takeovers == 1


def test_control_goes_back_when_nothing_is_touched_for_a_while():
    infos, _ = driven([touch(), touch()], steps=30, release=1.0)
    drivers = [info["driver"] for info in infos]
    assert drivers == ["human"] * 17 + ["policy"] * 13, "two steps, and 15 without a touch"
    infos, _ = driven([touch()], steps=30, release=None)
    assert {info["driver"] for info in infos} == {"human"}
    infos, _ = driven([touch()], steps=3, release=0.0)
    assert [info["driver"] for info in infos] == ["human", "policy", "policy"]


def test_hands_that_rest_on_the_wheel_do_not_end_a_pause_but_a_new_touch_does():
    held = touch()
    infos, _ = driven([held, touch(buttons=frozenset({"pause"})), held, held, {}, held])
    states = [info["takeover"] for info in infos]
    assert states == ["correcting", "paused", "paused", "paused", "paused", "correcting"]


def test_nothing_moves_in_a_pause():
    env = Takeover(UdacityEnv(cameras=()), Script({}, press("pause"), {}, {}, press("pause")))
    env.reset(seed=0)
    moving = env.step(STRAIGHT)
    for _ in range(3):
        observation, reward, terminated, truncated, info = env.step(STRAIGHT)
        np.testing.assert_array_equal(observation, moving[0])
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert set(info["reward_terms"].values()) == {0.0}
        assert info["time"] == moving[4]["time"]
        assert "policy_action" not in info
    assert env.step(STRAIGHT)[4]["time"] == pytest.approx(2 * DT)


@pytest.mark.parametrize("rate", [1.0, 2.5])
def test_the_wheel_never_jumps_when_control_passes(rate):
    generator = np.random.default_rng(0)
    policy = np.stack([np.clip(np.cumsum(generator.normal(0, 0.03, 300)), -1, 1), np.full(300, 0.2)], 1)
    script, human = [], []
    for step in range(300):
        hands = (step // 25) % 2 == 1
        human.append(0.8 * np.sin(step / 9))
        script.append(touch(steering=human[-1]) if hands else press("hand_back"))
    infos, _ = driven(script, actions=policy, release=None, rate=rate)
    executed = np.array([info["steering"] for info in infos])
    drivers = [info["driver"] for info in infos]
    wanted = np.where(np.array(drivers) == "human", human, policy[:, 0])
    passes = [i for i in range(1, 300) if drivers[i] != drivers[i - 1]]
    assert len(passes) == 11
    own = np.abs(np.diff(wanted))
    own[np.array(passes) - 1] = 0.0  # from one driver to the other: nobody moved the wheel
    assert (np.abs(np.diff(executed)) <= own + rate * DT + 1e-6).all()
    gaps = [abs(wanted[i] - executed[i - 1]) for i in passes]
    assert max(gaps) > 0.5, "there was something to jump over"
    # In the end, each has the wheel where they want it.
    settled = [i + int(np.ceil(gap / (rate * DT))) for i, gap in zip(passes, gaps, strict=True)]
    for i in settled:
        if i < 300 and drivers[i] == drivers[i - 1]:
            assert executed[i] == pytest.approx(wanted[i], abs=1e-6)


def test_an_undisturbed_policy_drives_as_without_takeover():
    bare, expert = UdacityEnv(cameras=()), PurePursuit()
    env = Takeover(UdacityEnv(cameras=()), Script())
    for where in (bare, env):
        where.seen = where.reset(seed=0)
    for _ in range(60):
        pose = []
        for where in (bare, env):
            observation, _, _, _, info = where.step(expert(*where.seen))
            where.seen = observation, info
            pose.append(info["pose"])
        np.testing.assert_array_equal(*pose)


def test_a_scripted_human_brings_the_car_back_that_a_policy_loses():
    straight_on = np.array([0.0, 0.4], np.float32)
    env = Takeover(UdacityEnv(cameras=(), max_seconds=40), ScriptedHuman(PurePursuit(), seed=1))
    env.reset(seed=0)
    infos, ended = [], False
    while not ended:
        _, _, terminated, ended, info = env.step(straight_on)
        assert not terminated
        infos.append(info)
    assert env.takeovers >= 2
    assert {info["driver"] for info in infos} == {"policy", "human"}
    assert np.abs(np.diff([info["steering"] for info in infos])).max() < 0.4


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


def test_the_recording_keeps_who_drove_and_what_each_wanted(tmp_path):
    with Recorder(tmp_path, cameras=("center",)) as recorder:
        drives = RecordDrives(UdacityEnv(cameras=()), recorder)
        script = Script({}, touch(0.9), touch(0.9), press("pause"), {}, press("pause"), {})
        env = Takeover(drives, script, expert=PurePursuit())
        observation, info = env.reset(seed=3)
        recorder.start()
        executed, wanted, drivers = [], [], []
        for _ in range(7):
            label = PurePursuit()(observation, info)
            observation, _, _, _, info = env.step(STRAIGHT)
            if info["driver"] != "nobody":
                executed.append(info["steering"])
                wanted.append(label)
                drivers.append(info["driver"])
    (episode,) = open_recording(tmp_path, strict=True).episodes
    extras = episode.extras()
    assert (
        [extra["driver"] for extra in extras] == drivers == ["policy", "human", "human", "policy", "policy"]
    )
    assert [extra["intervention"] for extra in extras] == [False, True, True, False, False]
    np.testing.assert_allclose(episode.steering, executed, atol=1e-6)
    np.testing.assert_allclose([extra["action"][0] for extra in extras], executed, atol=1e-6)
    np.testing.assert_allclose([extra["policy_action"] for extra in extras], [STRAIGHT] * 5)
    np.testing.assert_allclose([extra["expert_action"] for extra in extras], wanted)
    assert CAMERAS[0] in episode.cameras


def test_rendered_images_say_who_drives():
    script = Script({}, touch(), press("pause"))
    env = Takeover(UdacityEnv(cameras=(), render_mode="rgb_array"), script, driver="expert")
    env.reset(seed=0)
    captions, corners = [], []
    for _ in range(3):
        env.step(STRAIGHT)
        captions.append(env.unwrapped.caption)
        corners.append(env.render()[10:35, 20:200])
    assert captions == ["expert drives", "you drive", "paused"]
    written = [(corner.min(axis=2) > 200).sum() for corner in corners]
    assert written[0] > written[1] > written[2] > 50


def test_recording_outside_of_takeovers_is_refused(tmp_path):
    env = Takeover(UdacityEnv(cameras=()), Script())
    with pytest.raises(RecordingError, match=r"Takeover\(RecordDrives"):
        RecordDrives(env, Recorder(tmp_path))


def test_keys_take_over_in_an_environments_window(window):
    pygame = pytest.importorskip("pygame")
    env = Takeover(UdacityEnv(cameras=(), render_mode="human", ctrl_dt=0.02), Human("keyboard"), release=0.1)
    env.reset(seed=0)
    drivers = []
    for step in range(20):
        if step in (5, 9):
            kind = pygame.KEYDOWN if step == 5 else pygame.KEYUP
            pygame.event.post(pygame.event.Event(kind, key=pygame.K_LEFT))
        if step in (16, 18):
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_p))
        drivers.append(env.step(STRAIGHT)[4]["driver"])
    env.close()
    assert drivers == ["policy"] * 5 + ["human"] * 9 + ["policy"] * 2 + ["nobody"] * 2 + ["policy"] * 2


def test_mistakes_are_refused():
    with pytest.raises(OptionError, match="read"):
        Takeover(UdacityEnv(cameras=()), "keyboard")
    with pytest.raises(OptionError, match="rate"):
        Takeover(UdacityEnv(cameras=()), Script(), rate=0.0)
    env = Takeover(UdacityEnv(cameras=()), Script())
    with pytest.raises(ResetNeeded):
        env.step(STRAIGHT)
    env.reset(seed=0)
    for wrong in (np.zeros(1), np.array([np.nan, 0.0])):
        with pytest.raises(ActionError, match="two finite numbers"):
            env.step(wrong)
