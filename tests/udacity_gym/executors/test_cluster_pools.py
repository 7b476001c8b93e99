"""Executors of Dask and MPI, which other packages offer by the interface of `concurrent.futures`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from udacity_gym.evaluation import Suite, run_suite, scenarios
from udacity_gym.executors import FailedJobsError, OutputFolder, open_executor

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

SUITE = Suite("pools-v1", scenarios(), seeds=(0, 1, 2), intervene=("edge",), max_seconds=2.0)

MPI_SCRIPT = """
from mpi4py.futures import MPIPoolExecutor
from tests.udacity_gym.executors.test_cluster_pools import compare_with_one_process

if __name__ == "__main__":
    with MPIPoolExecutor() as pool:
        compare_with_one_process(pool)
        print("alike with", pool.num_workers, "workers")
"""


def compare_with_one_process(pool):
    expected = run_suite("pure_pursuit", SUITE)
    result = run_suite("pure_pursuit", SUITE, executor=pool)
    summaries = [[e.evaluation.summary() for e in driven.episodes] for driven in (expected, result)]
    assert len(summaries[0]) == 3
    assert summaries[0] == summaries[1]


@pytest.fixture(scope="module")
def dask_pool():
    """Dask's executor, with two processes."""
    dask = pytest.importorskip("distributed", reason="needs pip install distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with dask.LocalCluster(**options) as cluster, dask.Client(cluster) as client:
        yield client.get_executor()


def half(number):
    if number == 2:
        raise ZeroDivisionError("two is too much")
    return number / 2


def write(output):
    with output.writing() as folder:
        (folder / "file.txt").write_text("written")


def test_dask_drives_a_suite_as_one_process_does(dask_pool):
    compare_with_one_process(dask_pool)


def test_a_job_that_fails_with_dask_is_named_and_the_others_are_done(dask_pool):
    done = []
    with open_executor(dask_pool) as executor, pytest.raises(FailedJobsError, match="two is too much"):
        done.extend(executor.map(half, range(4)))
    assert sorted(done) == [(0, 0.0), (1, 0.5), (3, 1.5)]


def test_jobs_of_dask_write_into_the_folder_of_whoever_sent_them(dask_pool, tmp_path):
    with OutputFolder(tmp_path) as output, open_executor(dask_pool) as executor:
        list(executor.map(write, [output]))
    assert (tmp_path / "file.txt").read_text() == "written"


def test_mpi_drives_a_suite_as_one_process_does(tmp_path):
    pytest.importorskip("mpi4py", reason="needs pip install mpi4py mpich")
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("needs mpiexec, for example of pip install mpich")
    script = tmp_path / "script.py"
    script.write_text(MPI_SCRIPT)
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout == "alike with 2 workers\n", done.stdout + done.stderr
