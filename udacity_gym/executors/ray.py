"""Jobs on a Ray cluster: `Ray`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from udacity_gym.checks import check_integer, check_number
from udacity_gym.errors import UdacityGymError
from udacity_gym.executors.calls import Fetch, do_call, this_process
from udacity_gym.executors.executor import RETRIES, SendingExecutor
from udacity_gym.installation import require

LOCAL = {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
"""Options of ``ray.init`` for a cluster of this machine alone."""


@dataclass(frozen=True)
class Ray:
    """Settings of an executor: tasks of a Ray cluster (the extra "ray").

    Ray sends a job whose worker or node is lost to another one. What jobs share is in Ray's object store,
    once on each node.

    Attributes:
        address: address of the cluster, such as "auto" on one of its nodes, or "ray://head:10001"; None is
            the cluster that this process is connected to, or else a new one on this machine.
        workers: number of cores of a new cluster; None is all of this machine.
        cpus: cores that each job takes.
        retries: how often a job whose worker or node was lost is sent again.
        options: further arguments of ``ray.init``, such as ``{"runtime_env": {"working_dir": "."}}``.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    retries: int = RETRIES
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_integer("workers", self.workers, 1)
        check_number("cpus", self.cpus, 0.0)
        check_integer("retries", self.retries, 0)

    @contextlib.contextmanager
    def open(self) -> Iterator[RayExecutor]:
        """The executor, for the length of a block; what it connected to is disconnected."""
        ray = require("ray", "an executor on Ray")
        is_ours = not ray.is_initialized()
        if is_ours:
            settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
            settings |= {"address": self.address} if self.address else {**LOCAL, "num_cpus": self.workers}
            try:
                ray.init(**{**settings, **self.options})
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UdacityGymError(
                    f"no Ray cluster at {self.address or 'this machine'}: {error}; ray status shows whether "
                    "one is running, ray start --head starts one"
                ) from error
        try:
            yield RayExecutor(self.cpus, self.retries)
        finally:
            if is_ours:
                ray.shutdown()


class RayExecutor(SendingExecutor):
    """Does jobs on the Ray cluster that this process is connected to, see `Ray`."""

    def __init__(self, cpus: float = 1, retries: int = RETRIES) -> None:
        import ray

        super().__init__(retries=0)
        # Ray's own retries are for what it lost; errors of jobs come back in their outcomes.
        self._task = ray.remote(num_cpus=cpus, max_retries=retries)(do_call)
        self._refs: dict[Future[bytes], Any] = {}

    @contextlib.contextmanager
    def _sharing(self, shared: dict[str, bytes]) -> Iterator[Fetch]:
        import ray

        yield _FetchObject({key: ray.put(content) for key, content in shared.items()})

    def _submit(self, content: bytes, fetch: Fetch) -> Future[bytes]:
        ref = self._task.remote(this_process(), content, fetch)
        future: Future[bytes] = ref.future()
        self._refs[future] = ref
        return future

    def _release(self, future: Future[bytes]) -> None:
        del self._refs[future]  # Ray forgets the result when nobody refers to it

    def _cancel(self, future: Future[bytes]) -> None:
        import ray

        ray.cancel(self._refs.pop(future), force=True)


@dataclass(frozen=True)
class _FetchObject:
    """Shared bytes in Ray's object store."""

    refs: Mapping[str, Any]

    def __call__(self, key: str) -> bytes:
        import ray

        content: bytes = ray.get(self.refs[key])
        return content
