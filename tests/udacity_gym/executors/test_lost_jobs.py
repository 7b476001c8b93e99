"""Workers that are killed, jobs that always fail, files that come back, Ctrl-C: processes and SLURM."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lost_jobs import Job, kill_the_worker, read_shared_files, times_done, wait_for, write_file

from udacity_gym.errors import UdacityGymError
from udacity_gym.executors import (
    FailedJobsError,
    LostWorkerError,
    OutputFolder,
    Processes,
    Ray,
    SharedFiles,
    Slurm,
    open_executor,
)
from udacity_gym.executors.calls import do_call, pack


@pytest.fixture(params=["processes", pytest.param("slurm", marks=pytest.mark.long)])
def settings(request, tmp_path, monkeypatch):
    """Settings of an executor with two workers."""
    if request.param == "processes":
        return Processes(2)
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return Slurm(tmp_path / "slurm", workers=2, cluster="local", poll_seconds=0.1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_job_of_a_killed_worker_is_done_again_and_what_was_finished_stays(settings, tmp_path):
    jobs = [Job(tmp_path, number, fatal=(1, 2)) for number in range(6)]
    with open_executor(settings) as executor:
        assert dict(executor.map(kill_the_worker, jobs)) == {n: n**2 for n in range(6)}
    assert [times_done(tmp_path, number) for number in range(6)] == [1] * 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_job_that_always_kills_its_worker_is_named_and_the_others_go_on(settings, tmp_path):
    jobs = [Job(tmp_path, number, fatal=(2,), tries=99) for number in range(4)]
    done = {}
    with open_executor(settings) as executor, pytest.raises(FailedJobsError, match="number 2") as caught:
        done.update(executor.map(kill_the_worker, jobs))
    assert done == {0: 0, 1: 1, 3: 9}
    assert [failure.number for failure in caught.value.failures] == [2]
    assert type(caught.value.failures[0].error) is LostWorkerError
    assert len(list(tmp_path.glob("2-*"))) == 3, "two retries"


def test_processes_and_their_jobs_end_when_nobody_waits_for_them(tmp_path):
    started = tmp_path / "never"
    with open_executor(2) as executor:
        results = executor.map(wait_for, [started, started])
        with pytest.raises(KeyboardInterrupt):
            _raise_when(lambda: len(list(tmp_path.glob("never-*"))) == 2, results)
    processes = [int(path.name.split("-")[1]) for path in tmp_path.glob("never-*")]
    for process in processes:
        _wait_until(lambda process=process: not _is_alive(process))


def _raise_when(condition, results):
    """Press Ctrl-C while somebody waits for results."""
    import threading

    def press():
        _wait_until(condition)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    list(results)


def _wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited a minute in vain")


def _is_alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


ORPHANS = """
import sys
from pathlib import Path
from lost_jobs import wait_for
from udacity_gym.executors import open_executor

if __name__ == "__main__":
    with open_executor(2) as executor:
        list(executor.map(wait_for, [Path(sys.argv[1])] * 2))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(tmp_path, end):
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    path = os.pathsep.join(filter(None, sys.path))
    caller = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "never")],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until(lambda: len(list(tmp_path.glob("never-*"))) == 2)
    caller.send_signal(end)
    _, errors = caller.communicate(timeout=60)
    for path in tmp_path.glob("never-*"):
        _wait_until(lambda path=path: not _is_alive(int(path.name.split("-")[1])))
    if end == signal.SIGINT:
        assert errors.count("Traceback") == 1, "no worker prints one"


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from udacity_gym.executors import open_executor\n"
        "with open_executor(2) as executor:\n    list(executor.map(abs, [1, 2]))\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'needs if __name__ == "__main__":' in done.stderr.splitlines()[-1]


def test_files_of_jobs_come_where_they_belong(tmp_path):
    with OutputFolder(tmp_path / "out") as output, open_executor(2) as executor:
        results = dict(executor.map(write_file, [(output, "a"), (output, "b")]))
    assert {Path(folder).parent for _, folder in results.values()} == {tmp_path / "out"}, "a shared folder"
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "out/files/a", "out/files/b", "out/folder-a/inside", "out/folder-b/inside",
    ]  # fmt: skip


def test_files_come_back_from_a_machine_that_does_not_see_the_folder(tmp_path):
    with OutputFolder(tmp_path / "out") as output, open_executor(2) as executor:
        next((tmp_path / "out").glob(".jobs-*")).unlink()  # as if it were not there
        results = dict(executor.map(write_file, [(output, "a"), (output, "b")]))
    assert not any(Path(folder).exists() for _, folder in results.values())
    assert (tmp_path / "out/files/a").read_text() == f"a of {results[0][0]}"
    assert (tmp_path / "out/folder-b/inside").read_text() == "b"


def test_a_later_try_replaces_the_folder_of_an_earlier_one(tmp_path):
    with OutputFolder(tmp_path) as output:
        for text in ("first", "second"):
            with output.writing_folder("x") as folder:
                (folder / text).touch()
        with pytest.raises(ZeroDivisionError), output.writing_folder("y"):
            raise ZeroDivisionError
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["x", "x/second"]


def test_files_that_jobs_need_are_sent_with_them(tmp_path):
    policy = tmp_path / "policy"
    (policy / "inner").mkdir(parents=True)
    (policy / "a").write_text("one")
    (policy / "inner" / "b").write_text("two")
    expected = [("a", "one"), ("b", "two")], "policy"
    with SharedFiles(policy).open() as here:
        assert here == policy
    with open_executor(2) as executor:
        files = SharedFiles(policy)
        for _, (process, *found) in executor.map(read_shared_files, [files] * 3):
            assert process != os.getpid()
            assert tuple(found) == expected
        single = SharedFiles(policy / "a")
        assert dict(executor.map(_text_of, [single]))[0] == ("a", "one")


def _text_of(files):
    with files.open() as path:
        return path.name, path.read_text()


def test_what_is_shared_is_packed_once_for_all_jobs(tmp_path):
    (tmp_path / "policy").write_bytes(bytes(10_000))
    files = SharedFiles(tmp_path / "policy")
    contents, shared = pack(read_shared_files, [files] * 100)
    assert set(shared) == {files.key}
    assert sum(map(len, contents)) < 100_000 < 100 * len(shared[files.key])


def test_a_task_that_can_not_begin_says_where_its_log_is(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    settings = Slurm(tmp_path, workers=1, cluster="local", poll_seconds=0.1)
    monkeypatch.chdir(tmp_path)  # where tasks find this package instead of ours
    (tmp_path / "udacity_gym").mkdir()
    (tmp_path / "udacity_gym" / "__init__.py").write_text("raise ImportError('not this one')")
    with open_executor(settings) as executor, pytest.raises(UdacityGymError, match=r"no task .* \(see .*err"):
        list(executor.map(kill_the_worker, [Job(tmp_path, 1)]))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Processes, {"workers": 0}),
        (Processes, {"retries": -1}),
        (Ray, {"workers": 0}),
        (Ray, {"cpus": -1}),
        (Slurm, {"workers": 0}),
        (Slurm, {"poll_seconds": 0}),
    ],
)
def test_settings_out_of_range_are_refused(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)


def test_a_worker_never_raises_what_a_job_raised():
    contents, _ = pack(int, ["no number"])
    assert b"ValueError" in do_call("somebody else", contents[0], lambda key: b"")
