"""Recordings for the page, on real ones; and the workspace, and the logs of jobs."""

import numpy as np
import pytest

from udacity_gym.cockpit import Workspace
from udacity_gym.cockpit.browse import Browser
from udacity_gym.cockpit.jobs import Jobs, _error, _progress
from udacity_gym.driving import load_driver
from udacity_gym.errors import OptionError
from udacity_gym.recording import Recorder, open_recording


def test_a_real_recording_is_shown_with_its_curves_findings_and_images(lake_recording):
    browser = Browser(Workspace(lake_recording.parent), load_driver)
    name = lake_recording.name
    overview, recording = browser.overview(name), browser.recording(name)
    assert overview["frames"] == len(recording) >= 1900
    assert sum(overview["histogram"]) == len(recording)
    assert max(overview["balanced"]) < max(overview["histogram"])
    episode = browser.episode(name, 0)
    rows = len(recording.episodes[0])
    assert all(len(episode[key]) == rows for key in ("row", "time", "steering", "mph", "left_out", "image"))
    assert {finding["kind"] for finding in overview["findings"]} == {
        finding.kind.name for finding in recording.report
    }
    for camera in ("left", "center", "right"):
        data, kind = browser.image(name, episode["row"][7], camera)
        assert data == recording.episodes[0][7].data(camera)
        assert kind == "image/jpeg"


@pytest.fixture
def browser(tmp_path):
    image = np.full((160, 320, 3), 90, np.uint8)
    with Recorder(tmp_path / "workspace" / "others" / "lake", ("center",)) as recorder:
        for _ in range(2):
            recorder.start()
            for i in range(30):
                recorder.add_frame({"center": image}, (0.02 * (i % 5), 0.3), 5.0, i / 15)
    return Browser(Workspace(tmp_path / "workspace"), load_driver)


def test_rows_are_left_out_and_brought_back_without_touching_the_log(browser, tmp_path):
    name, folder = "others/lake", tmp_path / "workspace" / "others" / "lake"
    log, frames = (folder / "driving_log.csv").read_bytes(), len(open_recording(folder))
    rows = browser.episode(name, 0)["row"][10:20]
    overview = browser.edit(name, "leave_out", rows=rows)
    assert overview["left_out"] == 10
    assert len(overview["edits"]) == 1
    episode = browser.episode(name, 0)
    assert [row for row, out in zip(episode["row"], episode["left_out"], strict=True) if out] == rows
    assert len(open_recording(folder)) == frames - 10
    assert browser.edit(name, "undo")["left_out"] == 0
    assert (folder / "driving_log.csv").read_bytes() == log


@pytest.mark.parametrize("rows", [[], "all", [0], [1.5], [True], None])
def test_wrong_rows_are_refused(browser, rows):
    with pytest.raises(OptionError, match="rows must be a list of lines"):
        browser.edit("others/lake", "leave_out", rows=rows)


def test_what_is_not_there_is_refused(browser):
    with pytest.raises(OptionError, match="no edit 'delete'"):
        browser.edit("others/lake", "delete")
    with pytest.raises(OptionError, match="there is no 99"):
        browser.episode("others/lake", 99)
    with pytest.raises(OptionError, match="no row 999999"):
        browser.image("others/lake", 999999, "center")
    with pytest.raises(OptionError, match="holds no recording"):
        browser.overview("others")


def test_the_workspace_lists_what_is_in_it(browser, tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    for name in (
        "policy/policy.json",
        "policy/member-0-ab/policy.json",
        "nets/net.onnx",
        "lessons/session.json",
        "judged/evaluation.json",
    ):
        path = workspace.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    contents = workspace.contents()
    assert contents["recordings"] == [{"name": "others/lake", "rows": 60}]
    assert contents["policies"] == ["nets/net.onnx", "policy"]
    assert (contents["sessions"], contents["evaluations"]) == (["lessons"], ["judged"])
    assert workspace.unused("policy") == "policy-2"


def test_progress_and_errors_are_read_from_logs():
    bar = "network 2\rtraining:  43%|████▎     | 120/280 [00:10<00:12, 11.5batch/s, epoch=1, loss=0.0123]"
    assert _progress(bar) == {"share": pytest.approx(120 / 280), "left": "00:12", "part": 2}
    assert _progress("driving:  12%|█| 140/1138 m [00:02<00:20, 0 interventions]")["share"] == 140 / 1138
    assert _progress("starting") == {"share": None, "left": None, "part": None}
    assert _error(f"first line\n{bar}\nlowered the learning rate\n{bar}\r") == "lowered the learning rate"


def test_a_job_runs_fails_with_its_message_and_can_be_stopped(tmp_path):
    jobs = Jobs(tmp_path / "logs", tmp_path)
    failing = jobs.start("train", "a", ["-c", "print('no such recording'); raise SystemExit(2)"])
    failing.process.wait(120)
    assert failing.as_json()["state"] == "failed"
    assert failing.as_json()["error"] == "no such recording"
    lasting = jobs.start("train", "b", ["-c", "import time; time.sleep(600)"])
    with pytest.raises(OptionError, match="being worked on already"):
        jobs.start("evaluate", "b", ["-c", ""])
    jobs.stop(lasting.number)
    lasting.process.wait(120)
    assert lasting.as_json()["state"] == "stopped"
    jobs.start("train", "c", ["-c", "import time; time.sleep(600)"])
    jobs.close()
    assert not any(job["state"] == "running" for job in jobs.as_json())


def test_a_job_draws_the_progress_bars_that_the_page_shows(tmp_path):
    (tmp_path / "work.py").write_text(
        "import sys\nfrom udacity_gym.progress import progress_bar\n"
        "for _ in progress_bar(iterable=range(3), desc=sys.argv[1]): pass\n"
    )
    jobs = Jobs(tmp_path / "logs", tmp_path)
    job = jobs.start("train", "a", ["-m", "work", "training"])
    assert job.process.wait(240) == 0, job.log.read_text()
    assert job.as_json()["share"] == 1.0
    assert "training" in job.log.read_text()
