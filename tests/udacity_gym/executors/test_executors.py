"""Jobs give the same results here, in other processes, in threads and in executors of somebody else."""

import concurrent.futures
import multiprocessing
import os
import pickle
import threading
import time

import gymnasium
import numpy as np
import pytest
from small_dagger import SMALL_DAGGER

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.errors import OptionError
from udacity_gym.evaluation import Suite, run_suite
from udacity_gym.evaluation.suites import Scenario
from udacity_gym.executors import FailedJobsError, Processes, Shared, open_executor
from udacity_gym.executors.calls import THREAD_VARIABLES, one_thread, worker_cached
from udacity_gym.experts import PurePursuit


def square(number):
    return number**2


def wait_and_square(number):
    time.sleep(0.5 if number == 0 else 0.0)
    return number**2


def where(_):
    return os.getpid(), threading.get_ident()


def fails_on_two(number):
    if number == 2:
        raise ZeroDivisionError("two is too much")
    return number


class UnsendableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"unreadable {one} {two}")


def raises_what_can_not_be_sent(_):
    raise UnsendableError("very", 1)


def threading_lock(_):
    return threading.Lock()


def ask(job):
    shared, number = job
    return shared.get().answer(number), os.getpid(), shared.get().unpickled


def threads_of_torch(_):
    import torch

    return torch.get_num_threads(), [os.environ.get(name) for name in THREAD_VARIABLES]


def make_once(_):
    return worker_cached("a list", list), worker_cached("a list", list) is worker_cached("a list", list)


class Counted:
    """Counts how often it was unpickled in this process."""

    here = 0

    def __init__(self, offset):
        self.offset = offset
        self.unpickled = 0

    def __setstate__(self, state):
        vars(self).update(state)
        type(self).here += 1
        self.unpickled = type(self).here

    def answer(self, number):
        return self.offset + number


@pytest.fixture(scope="module")
def pool():
    """A pool of two processes that somebody else looks after."""
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(params=["serial", "two processes", "threads", "pool"])
def executor_like(request, pool):
    """What `open_executor` takes."""
    if request.param == "threads":
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            yield threads
    else:
        yield {"serial": 1, "two processes": 2, "pool": pool}[request.param]


def test_results_come_with_the_numbers_of_their_jobs(executor_like):
    with open_executor(executor_like) as executor:
        assert dict(executor.map(square, range(7))) == {number: number**2 for number in range(7)}
        assert dict(executor.map(square, iter([3]))) == {0: 9}, "it can be used again"
        assert list(executor.map(square, [])) == []


def test_results_come_when_they_are_there():
    with concurrent.futures.ThreadPoolExecutor(2) as threads, open_executor(threads) as executor:
        assert [number for number, _ in executor.map(wait_and_square, range(3))][-1] == 0
    with open_executor(1) as executor:
        assert [number for number, _ in executor.map(wait_and_square, range(3))] == [0, 1, 2]


def test_one_process_is_this_one_and_several_are_others():
    here = os.getpid(), threading.get_ident()
    with open_executor(1) as executor:
        assert [result for _, result in executor.map(where, range(2))] == [here] * 2
    with open_executor(2) as executor:
        assert os.getpid() not in {process for _, (process, _) in executor.map(where, range(4))}


def test_an_executor_of_somebody_else_is_not_shut_down(pool):
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        for somebodys in (pool, threads):
            with open_executor(somebodys) as executor:
                list(executor.map(square, range(2)))
            assert somebodys.submit(square, 5).result() == 25


def test_what_is_shared_is_unpickled_once_per_worker(pool):
    shared = Shared(Counted(10), "a thing")
    with open_executor(pool) as executor:
        for _ in range(2):  # two rounds of jobs
            results = dict(executor.map(ask, [(shared, number) for number in range(6)]))
            assert [results[number][0] for number in range(6)] == list(range(10, 16))
            assert {unpickled for _, _, unpickled in results.values()} == {1}
    another = Shared(Counted(20), "another thing")
    with open_executor(pool) as executor:
        results = dict(executor.map(ask, [(another, number) for number in range(6)]))
        assert [results[number][0] for number in range(6)] == list(range(20, 26))
        assert {unpickled for _, _, unpickled in results.values()} <= {1, 2}


def test_what_is_shared_is_the_thing_itself_where_it_is_not_sent():
    thing = Counted(10)
    shared = Shared(thing, "a thing")
    assert shared.get() is thing
    with open_executor(1) as executor:
        assert dict(executor.map(ask, [(shared, 1)]))[0] == (11, os.getpid(), 0)
    unpicklable = Shared(threading.Lock(), "a lock")
    assert unpicklable.get() is not None


def test_every_thread_has_a_copy_of_what_is_shared():
    barrier = threading.Barrier(2)
    sent = pickle.dumps(Shared(Counted(10), "a thing"))

    def meet(shared):
        barrier.wait(timeout=60)  # so that both threads take part
        assert shared.get() is shared.get()
        return shared.get()

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(meet, pickle.loads(sent)) for _ in range(2)]
        one, other = (future.result() for future in futures)
    assert one is not other


def test_a_worker_keeps_what_it_made():
    with open_executor(2) as executor:
        assert [same for _, (_, same) in executor.map(make_once, range(3))] == [True] * 3


def test_a_job_that_fails_is_named_with_its_traceback_and_the_others_go_on(executor_like):
    done = {}
    with open_executor(executor_like) as executor:
        with pytest.raises(FailedJobsError, match="1 of 5 jobs failed, the others are done") as caught:
            done.update(executor.map(fails_on_two, range(5)))
        for number, result in executor.map(square, [7]):
            assert (number, result) == (0, 49), "it can be used again"
    (failure,) = caught.value.failures
    assert (failure.number, failure.job, type(failure.error)) == (2, "2", ZeroDivisionError)
    assert "two is too much" in str(caught.value)
    assert "in fails_on_two" in str(caught.value)


def test_what_all_jobs_raise_alike_is_raised_itself(executor_like):
    with open_executor(executor_like) as executor, pytest.raises(ZeroDivisionError, match="two") as caught:
        list(executor.map(fails_on_two, [2, 2]))
    if executor_like != 1:
        assert "in fails_on_two" in str(caught.value.__cause__), "the traceback of the worker"


def test_errors_and_results_that_can_not_come_back_are_told(executor_like):
    with open_executor(executor_like) as executor, pytest.raises(Exception, match="unreadable"):
        list(executor.map(raises_what_can_not_be_sent, [1]))
    if executor_like != 1:
        with open_executor(executor_like) as executor, pytest.raises(TypeError, match="pickle"):
            list(executor.map(threading_lock, [1]))


@pytest.mark.parametrize(
    ("function", "jobs"),
    [(threading.Lock().__enter__, [1]), (square, [threading.Lock()]), (square, [1, 2, threading.Lock()])],
)
def test_what_can_not_be_sent_is_refused_with_what_to_do(pool, function, jobs):
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        for somebodys in (2, pool, threads):
            with (
                open_executor(somebodys) as executor,
                pytest.raises(OptionError, match=r"a job can't be sent .* that makes it\. Or use one"),
            ):
                list(executor.map(function, jobs))
    assert pool.submit(square, 3).result() == 9
    with open_executor(1) as executor:
        lock = threading.Lock()
        assert list(executor.map(lambda lock: lock, [lock])) == [(0, lock)], "here nothing is sent"


def test_what_is_shared_and_can_not_be_sent_is_named(pool):
    shared = Shared(threading.Lock(), "this policy")
    with open_executor(pool) as executor, pytest.raises(OptionError, match=r"^this policy can't be sent to"):
        list(executor.map(ask, [(shared, 1)]))


@pytest.mark.long
def test_a_worker_process_lets_torch_use_one_thread(pool):
    pytest.importorskip("torch")
    for somebodys in (2, pool):
        with open_executor(somebodys) as executor:
            for _, (threads, variables) in executor.map(threads_of_torch, range(2)):
                assert threads == 1
                assert variables == ["1"] * len(THREAD_VARIABLES)


def test_threads_are_limited_only_while_jobs_are_done(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with open_executor(1) as executor:
            for _, (threads, _) in executor.map(threads_of_torch, range(2)):
                assert threads == 1
                assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", None, True, square, Processes])
def test_what_is_no_number_of_processes_and_no_executor_is_refused(wrong):
    with pytest.raises(OptionError, match=r"executor must be|no executor '2'"), open_executor(wrong):
        pass


SUITE = Suite(
    name="short-v1",
    scenarios=(Scenario("lake", "forward", "clear"), Scenario("lake", "reverse", "clear")),
    seeds=(0,),
    intervene=("edge",),
    max_seconds=2.0,
)


def test_a_suite_is_driven_alike_by_every_executor(executor_like):
    expected = run_suite(PurePursuit(), SUITE)
    if isinstance(executor_like, int):
        result = run_suite(PurePursuit(), SUITE, executor=executor_like)
    else:
        result = run_suite(PurePursuit(), SUITE, executor=executor_like)
    assert [episode.case for episode in result.episodes] == [episode.case for episode in expected.episodes]
    for episode, other in zip(result.episodes, expected.episodes, strict=True):
        assert episode.evaluation.summary() == other.evaluation.summary()
        np.testing.assert_array_equal(episode.evaluation.trajectory.x, other.evaluation.trajectory.x)


def make_env():
    return gymnasium.make("UdacitySim-v0", disable_env_checker=True)


def files_of(folder):
    """What a learner wrote, but for the times at which it did."""
    kept = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix in (".csv", ".jsonl", ".jpg")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@pytest.mark.long
def test_a_learner_collects_the_same_rounds_by_every_executor(tmp_path, pool):
    algorithms = pytest.importorskip("algorithms")
    written = {}
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        for name, executor in (("serial", 1), ("pool", pool), ("threads", threads)):
            folder = tmp_path / name
            learner = algorithms.DAgger(
                env=make_env, expert=PurePursuit(), folder=folder, executor=executor, **SMALL_DAGGER
            )
            learner.learn()
            written[name] = files_of(folder)
            assert [round.frames for round in learner.round_log] == [24, 24]
    assert len(written["serial"]) > 48
    assert written["serial"] == written["pool"] == written["threads"]
