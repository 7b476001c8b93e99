"""A local Ray cluster of two nodes: the same bytes as in one process, lost workers and nodes."""

import os
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import gymnasium
import pytest
from lost_jobs import Job, kill_the_worker, node_of, read_shared_files, times_done, wait_for, write_file
from small_dagger import SMALL_DAGGER

from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation import Suite, run_suite, scenarios
from udacity_gym.executors import FailedJobsError, OutputFolder, Ray, SharedFiles, open_executor
from udacity_gym.experts import PurePursuit

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


def test_a_cluster_that_is_not_there_is_told(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with (
        pytest.raises(UdacityGymError, match=r"no Ray cluster at auto: .* ray start"),
        open_executor(Ray("auto")),
    ):
        pass


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each."""
    pytest.importorskip("ray")
    home = set(os.listdir(Path.home()))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # writes no token into the home folder
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_TMPDIR", folder)
        (Path(folder) / "ray").mkdir()
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "include_dashboard": False},
        )
        cluster.add_node(num_cpus=1)
        try:
            yield cluster
        finally:
            cluster.shutdown()
    assert set(os.listdir(Path.home())) == home


@pytest.fixture
def executor(cluster):
    cluster.wait_for_nodes()
    with open_executor(Ray(cluster.address)) as executor:
        yield executor


def test_jobs_are_done_on_both_nodes(executor):
    assert len(set(dict(executor.map(node_of, range(6))).values())) == 2


def test_the_job_of_a_killed_worker_is_done_again(executor, tmp_path):
    jobs = [Job(tmp_path, number, fatal=(1, 2)) for number in range(6)]
    assert dict(executor.map(kill_the_worker, jobs)) == {number: number**2 for number in range(6)}
    assert [times_done(tmp_path, number) for number in range(6)] == [1] * 6


def test_a_job_that_always_kills_its_worker_is_named_and_the_others_go_on(executor, tmp_path):
    jobs = [Job(tmp_path, number, fatal=(2,), tries=99) for number in range(4)]
    done = {}
    with pytest.raises(FailedJobsError, match="number 2"):
        done.update(executor.map(kill_the_worker, jobs))
    assert done == {0: 0, 1: 1, 3: 9}
    assert len(list(tmp_path.glob("2-*"))) == 3, "two retries"


def test_files_are_sent_and_come_back(executor, tmp_path):
    with OutputFolder(tmp_path / "out") as output:
        next((tmp_path / "out").glob(".jobs-*")).unlink()  # as if it were not there
        results = dict(executor.map(write_file, [(output, "a"), (output, "b")]))
    assert not any(Path(folder).exists() for _, folder in results.values())
    assert (tmp_path / "out/folder-b/inside").read_text() == "b"
    files = SharedFiles(tmp_path / "out" / "files")
    (found,) = dict(executor.map(read_shared_files, [files])).values()
    assert [name for name, _ in found[1]] == ["a", "b"]


SUITE = Suite("short-v1", scenarios(), seeds=(0, 1, 2), max_seconds=3.0)


def contents(folder):
    kept = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def lines_of(folder):
    """The episodes of a suite, whose order in the file is that in which they were done."""
    found = contents(folder)
    found["episodes.jsonl"] = b"\n".join(sorted(found["episodes.jsonl"].splitlines()))
    return found


class Drunk:
    """Drives off the road, so that there are films."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return [0.6, 1.0], state


def test_a_suite_has_the_same_bytes_from_one_process_processes_and_ray(executor, tmp_path):
    for name, how in {"one": 1, "two": 2, "ray": executor}.items():
        run_suite(Drunk(), SUITE, folder=tmp_path / name, executor=how)
    one = lines_of(tmp_path / "one")
    assert any(name.startswith("films/") for name in one)
    assert lines_of(tmp_path / "two") == one
    assert lines_of(tmp_path / "ray") == one


def test_a_round_of_dagger_has_the_same_bytes_from_one_process_processes_and_ray(executor, tmp_path):
    algorithms = pytest.importorskip("algorithms")
    make_env = partial(gymnasium.make, "UdacitySim-v0", disable_env_checker=True)
    written = {}
    for name, how in {"one": 1, "two": 2, "ray": executor}.items():
        folder = tmp_path / name
        algorithms.DAgger(
            env=make_env, expert=PurePursuit(), folder=folder, executor=how, **SMALL_DAGGER
        ).learn()
        written[name] = {
            path: content
            for path, content in contents(folder).items()
            if path.endswith((".csv", ".jsonl", ".jpg", ".safetensors"))
        }
    assert len(written["one"]) > 48
    assert written["one"] == written["two"] == written["ray"]


def test_the_job_of_a_removed_node_is_done_on_another_one(cluster, tmp_path):
    started = tmp_path / "go"
    with open_executor(Ray(cluster.address)) as executor:
        import ray

        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        nodes = len([n for n in ray.nodes() if n["Alive"]])

        def remove():
            while len(list(tmp_path.glob("go-*"))) < nodes:  # all nodes are busy
                threading.Event().wait(0.05)
            cluster.remove_node(node)
            started.touch()

        thread = threading.Thread(target=remove)
        thread.start()
        results = dict(executor.map(wait_for, [started] * nodes))
        thread.join()
    assert len(results) == nodes
    begun = {int(path.name.split("-")[1]) for path in tmp_path.glob("go-*")}
    assert len(begun - set(results.values())) == 1, "what was begun on the removed node ended on another one"
