"""`evaluate`, video and report on the real environment."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import cv2
import gymnasium as gym
import numpy as np
import pytest

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.conditions import Conditions, Randomization
from udacity_gym.errors import ActionError, MissingDependencyError, OptionError
from udacity_gym.evaluation import DriveVideo, Evaluation, EvaluationStep, evaluate, write_report
from udacity_gym.evaluation.films import film_strip
from udacity_gym.evaluation.video import compose, compose_later
from udacity_gym.experts import PurePursuit
from udacity_gym.installation import install_command
from udacity_gym.telemetry import MPH
from udacity_gym.world.track.track import Track


@pytest.fixture
def env():
    """The environment without images: what a drive by an expert needs."""
    env = gym.make("UdacitySim-v0", cameras=())
    yield env
    env.close()


@pytest.fixture
def env_with_camera():
    env = gym.make("UdacitySim-v0")
    yield env
    env.close()


class SteeringOnly:
    """A steering-only policy that keeps the car straight on the reference line by its state vector."""

    actions = ("steering",)
    target_speed = 8.0

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        cte, heading_error, bend = observation[3] * 5, observation[4] * np.pi, observation[6] * 0.1
        steering = -0.3 * cte - 1.5 * heading_error - 6.0 * bend
        return np.clip(np.array([steering], np.float32), -1, 1), state


def always_left(observation, info):
    return np.array([-1.0, 0.5], np.float32)


def test_the_expert_drives_laps_with_full_autonomy(env):
    evaluation = evaluate(PurePursuit(), env, laps=2)
    assert evaluation.laps == evaluation.laps_without_intervention == 2
    assert evaluation.interventions == evaluation.edge_departures == evaluation.reference_departures == 0
    assert evaluation.autonomy == 1.0
    assert evaluation.mean_abs_cte < 0.2
    assert evaluation.trajectory.time[-1] == pytest.approx(evaluation.seconds)
    track = Track.load("lake")
    assert evaluation.distance >= 2 * track.length
    assert evaluation.lap_times[1] == pytest.approx(track.length / 11.9, rel=0.05)


def test_steering_always_left_needs_help_all_the_time(env):
    evaluation = evaluate(always_left, env, laps=1, max_seconds=60.0)
    assert evaluation.interventions > 20
    assert evaluation.autonomy == 0.0
    assert evaluation.laps_without_intervention == 0
    assert {i.kind for i in evaluation.incidents if i.intervention} == {"edge"}
    assert all(i.cte < 0 for i in evaluation.incidents if i.intervention)
    # Every put-back starts again on the line where the car had left it.
    starts = np.flatnonzero(np.diff(evaluation.trajectory.stretch) > 0) + 1
    np.testing.assert_allclose(evaluation.trajectory.cte[starts], 0.0, atol=1e-3)
    np.testing.assert_allclose(
        evaluation.trajectory.s[starts], evaluation.trajectory.s[starts - 1], atol=1e-3
    )


def test_a_drive_stays_on_the_track_and_in_the_direction_that_it_started_with(env):
    env.reset(options={"direction": "reverse"})  # what somebody left behind counts for nothing
    places = set()

    def note(step):
        track = step.env.unwrapped.track
        places.add((track.name, track.direction))

    for start in (None, {"track": "jungle", "direction": "reverse"}):
        evaluation = evaluate(always_left, env, laps=1, max_seconds=6.0, start=start, on_step=note)
        assert evaluation.interventions > 1
        wanted = ("lake", "forward") if start is None else ("jungle", "reverse")
        assert places == {wanted}
        assert (evaluation.track, evaluation.track_length) == (wanted[0], Track.load(wanted[0]).length)
        places.clear()


def test_a_car_at_its_top_speed_is_put_back_at_that_speed(env):
    fast = []

    def straight_on(observation, info):
        fast.append(info["speed"])
        return np.array([0.0, 1.0], np.float32)

    evaluation = evaluate(straight_on, env, laps=1, max_seconds=25)
    assert max(fast) > 30 * MPH  # what full throttle settles at is a little more than the cap
    assert evaluation.interventions > 0
    assert evaluation.ended.startswith("time limit")


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("track", ["mountain", "jungle"])
def test_a_car_is_put_back_however_fast_it_was_downhill(track, direction):
    fastest = 0.0

    def straight_on(observation, info):
        nonlocal fastest
        fastest = max(fastest, info["speed"])
        return np.array([0.0, 1.0], np.float32)

    with gym.make("UdacitySim-v0", cameras=(), track=track, direction=direction) as env:
        evaluation = evaluate(straight_on, env, laps=1, max_seconds=240)
    assert fastest > 13.5  # more than on level ground
    assert evaluation.interventions > 20
    assert "put back" not in evaluation.ended


def test_an_evaluation_is_driven_on_the_track_that_was_drawn():
    with gym.make("UdacitySim-v0", cameras=(), track=["lake", "jungle"]) as env:
        drawn = set()
        for seed in range(4):
            evaluation = evaluate(always_left, env, laps=1, max_seconds=6.0, seed=seed)
            assert evaluation.track_length == Track.load(evaluation.track).length
            drawn.add(evaluation.track)
    assert drawn == {"lake", "jungle"}


def test_the_weather_stays_when_the_car_is_put_back():
    seen = []
    anything = Randomization(("rain", "fog", "dusk"), noise=(0, 20))
    with gym.make("UdacitySim-v0", cameras=(), conditions=anything) as env:
        for seed in (0, 1):
            conditions = set()
            evaluation = evaluate(
                always_left,
                env,
                seed=seed,
                max_seconds=15,
                on_step=lambda step, kept=conditions: kept.add(Conditions.from_dict(step.info["conditions"])),
            )
            assert evaluation.interventions > 1
            seen.append(conditions)
    assert [len(conditions) for conditions in seen] == [1, 1]
    assert seen[0] != seen[1]


def test_standing_still_ends_at_the_time_limit(env):
    evaluation = evaluate(lambda o, i: np.zeros(2, np.float32), env, laps=1, max_seconds=40.0)
    assert evaluation.seconds == pytest.approx(40.0, abs=0.1)
    assert "time limit" in evaluation.ended
    assert {i.kind for i in evaluation.incidents} == {"stuck"}
    assert evaluation.interventions == 8
    assert evaluation.autonomy == 0.0


def test_same_seed_gives_the_same_evaluation(env):
    def noisy(observation, info, expert=PurePursuit()):  # noqa: B008
        rng = np.random.default_rng(int(info["time"] * 1000))
        return np.clip(expert(observation, info) + rng.normal(0, 0.5, 2), -1, 1)

    first, second = (evaluate(noisy, env, laps=1, seed=5, max_seconds=30.0) for _ in range(2))
    assert first.summary() == second.summary()
    assert first.incidents == second.incidents


def test_a_steering_only_policy_is_driven_at_its_own_speed(env):
    evaluation = evaluate(SteeringOnly(), env, laps=1, max_seconds=40.0)
    assert evaluation.interventions == 0
    assert evaluation.trajectory.speed[-1] == pytest.approx(8.0, abs=0.3)


def test_an_action_of_the_wrong_shape_is_refused_by_name(env):
    with pytest.raises(ActionError, match="SpeedControl"):
        evaluate(lambda o, i: np.zeros(1, np.float32), env)


def test_a_video_has_the_frames_of_the_drive_and_shows_them(env_with_camera, tmp_path):
    path = tmp_path / "videos" / "drive.webm"
    with DriveVideo(path, width=320, height=180, fps=15, speed_up=2.0) as video:
        evaluation = evaluate(PurePursuit(), env_with_camera, max_seconds=4.0, on_step=video)
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["drive.webm"]
    frames = list(_frames(path))
    assert len(frames) == video.frames == pytest.approx(evaluation.seconds * 15 / 2, abs=1)
    assert all(frame.shape == (180, 320, 3) for frame in frames)
    assert frames[0].std() > 20
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 2  # it moves


def test_a_put_back_is_shown_in_the_video_whatever_the_speed_up(env_with_camera, tmp_path):
    with DriveVideo(tmp_path / "drive.webm", speed_up=50.0) as video:
        evaluation = evaluate(always_left, env_with_camera, max_seconds=5.0, on_step=video)
    assert evaluation.interventions > 1
    red = [_is_red(frame[1, 256]) for frame in _frames(tmp_path / "drive.webm")]
    assert sum(red) >= evaluation.interventions


def test_an_image_drawn_beside_the_drive_is_that_of_its_own_step(env_with_camera):
    pending, at_once = [], []

    def keep(step):
        pending.append(compose_later(step, 128, 72))
        at_once.append(compose(step, 128, 72))

    evaluate(PurePursuit("lake"), env_with_camera, laps=1, max_seconds=0.5, on_step=keep)
    for draw, image in zip(pending, at_once, strict=True):
        np.testing.assert_array_equal(draw(), image)
    assert len(pending) > 3


def test_a_drive_that_fails_leaves_no_video(env_with_camera, tmp_path):
    def breaks(observation, info):
        if info["time"] > 1:
            raise RuntimeError("broken policy")
        return np.array([0.0, 1.0], np.float32)

    with (
        pytest.raises(RuntimeError, match="broken policy"),
        DriveVideo(tmp_path / "drive.webm") as video,
    ):
        evaluate(breaks, env_with_camera, on_step=video)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, signal, sys
import numpy as np
from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation import DriveVideo

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
noise = np.random.default_rng(0).integers(0, 255, (144, 256, 3), dtype=np.uint8)
try:
    with DriveVideo(sys.argv[1], width=256, height=144) as video:
        for k in range(40):
            video.write(np.roll(noise, k, axis=1))
except UdacityGymError as error:
    print(error)
"""


def test_a_full_disk_leaves_no_video_and_says_so(tmp_path):
    pytest.importorskip("resource", reason="only POSIX limits the size of files")
    path = tmp_path / "drive.webm"
    arguments = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "of 40 images" in done.stdout
    assert str(path) in done.stdout
    assert list(tmp_path.iterdir()) == []


WEBM = """
import sys
import numpy as np
from udacity_gym.evaluation import DriveVideo

with DriveVideo(sys.argv[1], width=64, height=64) as video:
    video.write(np.zeros((64, 64, 3), np.uint8))
"""


def test_a_webm_says_that_it_is_one_and_writing_it_prints_nothing(tmp_path):
    path = tmp_path / "drive.webm"
    done = subprocess.run([sys.executable, "-c", WEBM, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert b"webm" in path.read_bytes()[:64]
    assert b"matroska" not in path.read_bytes()[:64]
    assert [p.name for p in tmp_path.iterdir()] == ["drive.webm"]


def test_a_video_can_be_closed_twice(tmp_path):
    with DriveVideo(tmp_path / "drive.webm", width=64, height=64) as video:
        video.write(np.zeros((64, 64, 3), np.uint8))
        video.close()
    video.close()
    assert [p.name for p in tmp_path.iterdir()] == ["drive.webm"]


def test_a_video_without_a_image_is_none(tmp_path):
    with DriveVideo(tmp_path / "drive.webm"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_at_the_last_image_fails_the_video(tmp_path, monkeypatch):
    def broken(self, draw, times):
        raise RuntimeError("no more")

    monkeypatch.setattr(DriveVideo, "_encode", broken)
    video = DriveVideo(tmp_path / "drive.webm", width=64, height=64)
    video.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(RuntimeError, match="no more"):
        video.close()
    assert list(tmp_path.iterdir()) == []


def test_a_video_of_a_drive_without_camera_has_no_inset_but_a_image(env, tmp_path):
    with DriveVideo(tmp_path / "drive.webm", width=320, height=180) as video:
        evaluate(PurePursuit(), env, max_seconds=1.0, on_step=video)
    assert next(_frames(tmp_path / "drive.webm")).std() > 20


@pytest.mark.parametrize(
    "bad", [{"width": 33}, {"height": 10}, {"fps": 0}, {"speed_up": -1.0}, {"view": "satellite"}]
)
def test_impossible_videos_are_refused(tmp_path, bad):
    with pytest.raises(OptionError, match=next(iter(bad))):
        DriveVideo(tmp_path / "drive.webm", **bad)


def test_a_video_has_to_be_webm_or_mp4(tmp_path):
    with pytest.raises(OptionError, match=r"webm or \.mp4"):
        DriveVideo(tmp_path / "drive.avi")


def test_a_report_needs_nothing_from_outside_but_the_video_beside_it(env, tmp_path):
    evaluation = evaluate(always_left, env, laps=1, max_seconds=20.0)
    path = write_report(
        tmp_path / "report.html",
        evaluation,
        title="A <b>bold</b> car",
        facts={"Demonstrations": "2 laps & more"},
        demonstrations=np.linspace(-0.5, 0.5, 100),
        losses={"training": [0.5, 0.01], "validation": [0.4, 0.02]},
        images=[("first", np.full((160, 320, 3), 90, np.uint8))],
        video=tmp_path / "sub" / "drive.webm",
    )
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    page = _Page(path.read_text(encoding="utf-8"))
    assert page.sources
    outside = [s for s in page.sources if not s.startswith(("data:", "#"))]
    assert set(outside) == {"sub/drive.webm"}
    assert not re.search(r"url\((?!['\"]?#)|@import", page.text)
    for words in ("Autonomy", "2 laps & more", "A <b>bold</b> car", "a wheel over the edge line", "put back"):
        assert words in page.words
    assert page.open_tags == []


def test_a_report_of_a_clean_drive_says_so(env, tmp_path):
    evaluation = evaluate(PurePursuit(), env, laps=1)
    page = _Page(write_report(tmp_path / "report.html", evaluation).read_text(encoding="utf-8"))
    assert "without a single intervention" in page.words
    assert "Incidents" not in page.words


def test_a_report_of_a_drive_that_was_cut_short_says_so(tmp_path):
    env = gym.make("UdacitySim-v0", cameras=(), max_seconds=5.0)
    with pytest.warns(UserWarning, match="truncated"):
        evaluation = evaluate(PurePursuit(), env)
    env.close()
    page = _Page(write_report(tmp_path / "report.html", evaluation).read_text(encoding="utf-8"))
    assert "Only 0 of 3 laps were driven: the environment truncated" in page.words
    assert "hero good" not in page.text


def test_a_report_needs_no_track_file_any_more(tmp_path):
    data = dict(Track.load("lake").data, name="oval")
    file = tmp_path / "oval.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    env = gym.make("UdacitySim-v0", cameras=(), track=file)
    saved = evaluate(PurePursuit(file), env, max_seconds=2.0).save(tmp_path / "evaluation.json")
    env.close()
    file.unlink()
    page = _Page(write_report(tmp_path / "report.html", Evaluation.load(saved)).read_text(encoding="utf-8"))
    assert "oval" in page.words


def test_a_report_can_be_written_for_the_shortest_drive(env, tmp_path):
    evaluation = evaluate(PurePursuit(), env, laps=1, max_seconds=1 / 15)
    assert len(evaluation.trajectory) == 2
    assert write_report(tmp_path / "report.html", evaluation).is_file()


def test_a_hook_can_draw_the_car_from_outside(env_with_camera):
    views = []

    def look(step: EvaluationStep):
        views.append(step.env.unwrapped.simulator.view("chase", 64, 36))

    evaluate(PurePursuit(), env_with_camera, max_seconds=0.2, on_step=look)
    assert [view.shape for view in views] == [(36, 64, 3)] * 3


def _frames(path):
    capture = cv2.VideoCapture(str(path))
    while True:
        ok, frame = capture.read()
        if not ok:
            return
        yield frame


def _is_red(bgr):
    blue, green, red = (int(v) for v in bgr)
    return red > 150 and green < 110 and blue < 110


class _Page(HTMLParser):
    """Words and addresses of a page, and the tags that were never closed."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.text, self.sources, self.open_tags, self._words = text, [], [], []
        self.feed(text)
        self.words = " ".join("".join(self._words).split())

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        self._words.append(data)


def test_a_video_as_mp4_has_the_frames_of_the_drive_and_is_smaller(env_with_camera, tmp_path):
    pytest.importorskip("av", reason='PyAV is not installed: pip install "udacity-gym[video]"')
    sizes = []
    for suffix in (".webm", ".mp4"):
        path = tmp_path / f"drive{suffix}"
        with DriveVideo(path, width=320, height=180, speed_up=2.0) as video:
            evaluate(PurePursuit(), env_with_camera, max_seconds=6.0, on_step=video, seed=0)
        frames = list(_frames(path))
        assert len(frames) == video.frames
        assert frames[-1].std() > 20
        sizes.append((path.stat().st_size, frames[-1]))
    (webm, last_of_webm), (mp4, last_of_mp4) = sizes
    assert mp4 < webm / 2
    assert np.abs(last_of_webm.astype(int) - last_of_mp4).mean() < 8
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")  # plays while it loads


def test_mp4_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=re.escape(install_command("video"))):
        DriveVideo(tmp_path / "drive.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_mp4_and_says_so(tmp_path):
    pytest.importorskip("av", reason='PyAV is not installed: pip install "udacity-gym[video]"')
    pytest.importorskip("resource", reason="only POSIX limits the size of files")
    path = tmp_path / "drive.mp4"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert str(path) in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_video_leaves_the_standard_error_of_the_process_alone(tmp_path):
    code = """
import os, sys
import numpy as np
from udacity_gym.evaluation import DriveVideo
before = os.fstat(2)
duplicated = []
os.dup2 = lambda *a, **k: duplicated.append(a)
with DriveVideo(sys.argv[1], width=64, height=64) as video:
    video.write(np.zeros((64, 64, 3), np.uint8))
print(os.path.samestat(before, os.fstat(2)), duplicated)
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "x.webm")]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout == "True []\n"


def test_a_film_strip_of_no_images_is_refused():
    with pytest.raises(OptionError, match="at least one image"):
        film_strip([])
