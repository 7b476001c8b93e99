from contextlib import closing

import numpy as np
import pytest

from udacity_gym.cli import main
from udacity_gym.cli.people import DROP, Tape, caption
from udacity_gym.cli.shared import make_env
from udacity_gym.driving import LapTimer, drive
from udacity_gym.errors import OptionError
from udacity_gym.experts import EXPERTS, PID, Racing, make_expert
from udacity_gym.recording import Recorder, open_recording
from udacity_gym.telemetry import CAMERAS
from udacity_gym.window import Window


@pytest.fixture
def post(monkeypatch):
    """Puts events into pygame's queue, which a window on SDL's dummy display has opened."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    window = Window("test", 64, 48)
    pygame.event.clear()
    yield lambda kind, **data: pygame.event.post(pygame.event.Event(getattr(pygame, kind), **data))
    window.close()


@pytest.fixture
def no_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)


def test_experts_have_names():
    assert EXPERTS.names()[:3] == ["pure_pursuit", "racing", "pid"]
    assert isinstance(make_expert("racing", "jungle"), Racing)
    assert make_expert("racing", "jungle", 7.0).line.speed.max() <= 7.0
    assert isinstance(make_expert("pid"), PID)
    assert make_expert("pid", speed=3.0).speed == 3.0
    with pytest.raises(OptionError, match="pure_pursuit, racing, pid"):
        make_expert("impure_pursuit")


@pytest.mark.parametrize("expert", ["racing", "pid"])
def test_record_takes_an_expert_by_name(expert, tmp_path, capsys):
    assert main(["record", str(tmp_path / "laps"), "--expert", expert, "--seconds", "0.4"]) == 0
    recording = open_recording(tmp_path / "laps")
    assert recording.episodes[0][0].extra["driver"] == {"racing": "Racing", "pid": "PID"}[expert]


def test_a_perturbed_expert_keeps_its_labels_clean(tmp_path, capsys):
    assert main(["record", str(tmp_path / "laps"), "--noise", "0.3", "--seconds", "0.8"]) == 0
    (episode,) = open_recording(tmp_path / "laps").episodes
    labels = np.array([extra["expert_action"] for extra in episode.extras()])
    assert np.abs(episode.steering - labels[:, 0]).max() > 0.1


def test_an_expert_that_is_none_is_refused(tmp_path, capsys):
    assert main(["record", str(tmp_path / "laps"), "--expert", "nobody"]) == 2
    assert "no expert 'nobody'; there are pure_pursuit, racing, pid" in capsys.readouterr().err
    assert main(["record", str(tmp_path / "laps"), "--noise", "2"]) == 2
    assert "--noise" in capsys.readouterr().err
    assert not (tmp_path / "laps").exists()


def test_an_expert_by_name_is_evaluated(tmp_path, capsys):
    arguments = ["evaluate", "racing", "--max-seconds", "2", "--no-video", "--output", str(tmp_path / "e")]
    assert main([*arguments, "--track", "jungle"]) == 0
    assert "Racing on track jungle" in capsys.readouterr().out


def test_a_person_is_recorded_from_the_first_touch_on(post, tmp_path, capsys):
    import pygame

    post("KEYDOWN", key=pygame.K_w)
    post("KEYDOWN", key=pygame.K_d)
    folder = tmp_path / "mine"
    arguments = ["--human", "keyboard", "--seconds", "1", "--conditions", "fog"]
    assert main(["record", str(folder), *arguments]) == 0
    out = capsys.readouterr().out
    assert "Drive in the window" in out
    assert "Recorded 15 frames" in out
    recording = open_recording(folder)
    assert recording.cameras == ("center", "left", "right")
    (episode,) = recording.episodes
    assert episode.throttle.tolist() == [1.0] * 15
    np.testing.assert_allclose(episode.steering[:4], 2.5 / 15 * np.arange(4), atol=1e-6)
    assert episode[14].extra["driver"] == "human"
    assert "fog" in str(episode[14].extra)


def test_a_person_who_touches_nothing_is_not_recorded_and_closing_the_window_is_the_end(
    post, tmp_path, capsys
):
    post("QUIT")
    assert main(["record", str(tmp_path / "mine"), "--human", "any"]) == 1
    assert "never touched" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_person_takes_over_from_an_expert_and_the_recording_says_so(post, tmp_path, capsys):
    import pygame

    post("KEYDOWN", key=pygame.K_LEFT)
    post("KEYUP", key=pygame.K_LEFT)
    arguments = ["drive", "racing", "--human", "keyboard", "--max-seconds", "2"]
    assert main([*arguments, "--record", str(tmp_path / "drive")]) == 0
    assert "you took over 1 time and drove 53% of the time" in capsys.readouterr().out
    (episode,) = open_recording(tmp_path / "drive").episodes
    drivers = [extra["driver"] for extra in episode.extras()]
    assert drivers == ["human"] * 16 + ["expert"] * 14


@pytest.mark.parametrize(
    "arguments", [["record", "--human", "any"], ["drive", "expert", "--human", "keyboard"]]
)
def test_without_a_display_people_are_told_why_they_can_not_drive(
    arguments, no_display, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(arguments) == 2
    assert "--human needs a window to drive in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_training_without_a_display_names_the_option_that_wants_one(
    no_display, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["record", "laps", "--seconds", "0.4"]) == 0
    assert main(["train", "laps", "--algorithm", "hg_dagger", "--expert", "human"]) == 2
    assert "--expert human needs a window to drive in" in capsys.readouterr().err


def test_recording_a_drive_goes_with_people(capsys):
    assert main(["drive", "expert", "--record", "x"]) == 2
    assert "udacity-gym record --expert" in capsys.readouterr().err


ASKS = """
import numpy as np
from algorithms import Policy


class Still(Policy):
    def act(self, images):
        return np.zeros((len(images), 2), np.float32)

    def save(self, path):
        path.mkdir(parents=True)


class Asks:
    def __init__(self, recordings, *, seed=0, folder=None, env=None, expert=None):
        self.env, self.expert = env, expert

    def learn(self):
        observation, info = self.env.reset(seed=0)
        answers = []
        for _ in range(4):
            answers.append(self.expert(observation, info))
            wanted = np.zeros(2, np.float32) if answers[-1] is None else answers[-1]
            observation, _, _, _, info = self.env.step(wanted)
        print("ANSWERS", type(self.expert).__name__, [answer is not None for answer in answers])
        return Still()
"""


def test_learners_ask_a_person_in_a_window_or_an_expert_by_name(post, tmp_path, monkeypatch, capsys):
    import pygame

    monkeypatch.chdir(tmp_path)
    (tmp_path / "learner_that_asks.py").write_text(ASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["record", "laps", "--seconds", "0.4"]) == 0
    train = ["train", "laps", "--algorithm", "learner_that_asks:Asks"]
    main([*train, "--output", "a", "--expert", "racing"])
    assert "ANSWERS Racing [True, True, True, True]" in capsys.readouterr().out
    post("KEYDOWN", key=pygame.K_LEFT)
    main([*train, "--output", "b", "--expert", "human"])
    out = capsys.readouterr().out
    assert "Touch the controls to correct the policy" in out
    assert "ANSWERS Corrections [True, True, True, True]" in out


def test_what_led_to_a_fall_is_not_kept_and_the_last_seconds_can_be_discarded(tmp_path):
    env = make_env("lake", cameras=CAMERAS, mode="training")
    steps, timer = 0, LapTimer()
    with closing(env), Recorder(tmp_path / "drive", CAMERAS) as recorder:
        tape = Tape(recorder)
        for step in drive(env, lambda observation, info: (0.3, 0.6), seed=0, on_fall="put_back"):
            tape.add(step)
            timer.add(step)
            steps += 1
            if step.fell:
                assert tape.frames == steps - round(DROP * 15)
            if timer.falls == 1 and step.info["time"] > 1.0:
                break
        tape.discard(0.5)
    recording = open_recording(tmp_path / "drive")
    assert len(recording) == tape.frames
    assert all(abs(extra["cte"]) < 4.0 for episode in recording.episodes for extra in episode.extras())
    assert f"lap 1, {timer.as_json()['time']:.0f} s" in caption("recording", timer)
