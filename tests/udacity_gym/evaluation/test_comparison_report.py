"""The report of a comparison, and the command that writes it."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from udacity_gym.cli import main
from udacity_gym.evaluation import (
    SUITES,
    ForEachTrack,
    Suite,
    compare,
    figures,
    run_suite,
    scenarios,
    suite_runner,
    write_comparison,
)
from udacity_gym.evaluation.statistics import Estimate
from udacity_gym.experts import Noise, NoisyExpert, make_expert

TINY = SUITES.register(
    "tiny-v1", Suite("tiny-v1", scenarios(), seeds=(0, 1), intervene=("edge",), max_seconds=4.0)
)


def swerving(track):
    """An expert so perturbed that it leaves its lane."""
    return NoisyExpert(make_expert("pure_pursuit", track), Noise.of(0.9, correlation=2.0), seed=3)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives")
    return compare(
        [
            run_suite("pure_pursuit", TINY, folder=folder / "sober"),
            run_suite(ForEachTrack(swerving, "<swerving>"), TINY, folder=folder / "swerving", videos=True),
        ],
        human=np.random.default_rng(0).normal(0, 0.1, size=500),
    )


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = write_comparison(tmp_path_factory.mktemp("report") / "report.html", comparison)
    return path.read_text(encoding="utf-8")


def test_the_report_is_one_file_of_whole_html_that_needs_nothing_from_outside(page):
    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.links = [], []

        def handle_starttag(self, tag, attrs):
            self.links += [v for k, v in attrs if k in ("src", "href") and v]
            if tag not in ("meta", "img", "br", "path", "use", "rect"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            if tag in self.open:
                assert self.open.pop() == tag

    tags = Tags()
    tags.feed(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))
    assert not tags.open
    assert tags.links
    assert all(link.startswith("data:") for link in tags.links)
    assert "$" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_the_report_has_every_figure_with_its_interval_and_says_how_it_comes_about(page, comparison):
    for measure in comparison.available_measures():
        assert measure.title.replace("'", "&#39;") in page
    estimate = comparison.results[1].measures()["mean_speed"]
    assert f"{estimate.value:.2f}<small>{estimate.low:.2f} to {estimate.high:.2f}</small>" in page
    assert "Student" in page
    assert "&lt;swerving&gt;" in page
    assert "<swerving>" not in page


def test_the_report_marks_the_better_one(page):
    row = re.search(r"<tr><td>autonomy, %</td>(.*?)</tr>", page).group(1)
    assert row.startswith("<td class=best>100.0")
    assert row.count("class=best") == 1


def test_the_report_shows_strip_and_video_of_each_incident(page, comparison):
    films = [film for e in comparison.results[1].episodes for film in e.films]
    assert films
    strips = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    videos = re.findall(r"data:video/webm;base64,([^\"]+)", page)
    assert len(strips) == len(videos) == len(films)
    strip = cv2.imdecode(np.frombuffer(base64.b64decode(strips[0]), np.uint8), cv2.IMREAD_COLOR)
    assert strip.shape == (120, 6 * 244 - 4, 3)
    assert strip.std() > 20
    assert base64.b64decode(videos[0])[:4] == b"\x1a\x45\xdf\xa3"  # EBML, as WebM begins


def test_a_video_of_an_incident_plays_the_seconds_before_it(comparison):
    result = comparison.results[1]
    film = next(film for e in result.episodes for film in e.films)
    capture = cv2.VideoCapture(str(result.folder / film.video))
    frames = 0
    while capture.grab():
        frames += 1
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    assert fps == pytest.approx(15, abs=1)
    assert 5 <= frames <= 15 * 3.7


def test_the_command_compares_policies_and_goes_on_where_it_was(tmp_path, capsys):
    command = ["evaluate", "pure_pursuit", "pid", "--suite", "tiny-v1", "--output", str(tmp_path / "out")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "pure_pursuit" in told
    assert "autonomy, %" in told
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["policies"]["pid"]["autonomy"]["drives"] == 2
    assert (tmp_path / "out" / "report.html").stat().st_size > 50_000
    log = tmp_path / "out" / "pid" / "episodes.jsonl"
    before = log.stat().st_mtime_ns
    assert main(command) == 0
    assert log.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pid", "racing"], "--suite lake-v1"),
        (["pid", "--suite", "nothing-v1"], "there are lake-v1"),
        (
            ["pid", "--suite", "tiny-v1", "--laps", "2"],
            "--laps: not allowed with --suite, tiny-v1 defines it",
        ),
        (["pid", "--workers", "2"], "--workers: requires a suite"),
        (["pid", "pid", "--suite", "tiny-v1"], "each policy must be given once"),
        (["no-such-policy", "--suite", "tiny-v1"], "no-such-policy"),
    ],
)
def test_what_makes_no_sense_on_the_command_line_is_said(arguments, message, tmp_path, capsys):
    assert main(["evaluate", *arguments, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_suite_that_is_interrupted_says_that_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    drives = []

    def interrupted_in_the_second(job):
        drives.append(job)
        if len(drives) == 2:
            raise KeyboardInterrupt
        return drive(job)

    drive = suite_runner._drive
    monkeypatch.setattr(suite_runner, "_drive", interrupted_in_the_second)
    command = ["evaluate", "pure_pursuit", "--suite", "tiny-v1", "--output", str(tmp_path / "out")]
    assert main(command) == 130
    message = capsys.readouterr().err
    assert f"the drives so far are in {tmp_path / 'out'}, and the same command goes on after them" in message
    assert main(command) == 0
    assert len(drives) == 3


@pytest.mark.parametrize(
    ("values", "least", "greatest"),
    [((1.0, 1.0), 0, 100), ((0.0, 0.0), 0, 100), ((0.97, 1.0), 0, 100), ((0.4, 0.6), 0, 100)],
)
def test_the_axis_of_a_share_ends_at_100_per_cent(values, least, greatest, monkeypatch):
    limits = []
    monkeypatch.setattr(figures, "_svg", lambda figure, _: limits.extend(figure.axes[0].get_xlim()))
    table = {"policy": {str(v): Estimate(v, v, v, 2) for v in values}}
    figures.estimates(table, "autonomy, %", 100, (0.0, 1.0))
    low, high = limits
    assert least <= low <= min(values) * 100
    assert max(values) * 100 <= high <= greatest
    assert high - low > 1


def test_videos_of_incidents_can_be_mp4(tmp_path):
    pytest.importorskip("av", reason='PyAV is not installed: pip install "udacity-gym[video]"')
    result = run_suite(
        ForEachTrack(swerving, "swerving"), TINY, folder=tmp_path, videos=True, video_format="mp4"
    )
    films = [film for episode in result.episodes for film in episode.films]
    assert films
    assert all(film.video.endswith(".mp4") and (tmp_path / film.video).is_file() for film in films)
    page = write_comparison(tmp_path / "report.html", compare([result])).read_text()
    assert page.count("data:video/mp4;base64,") == len(films)
    assert "video/webm" not in page
