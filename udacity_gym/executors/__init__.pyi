from . import (
    calls as calls,
    executor as executor,
    processes as processes,
    ray as ray,
    slurm as slurm,
)
from .calls import (
    FailedJobsError as FailedJobsError,
    Failure as Failure,
    OutputFolder as OutputFolder,
    Shared as Shared,
    SharedFiles as SharedFiles,
)
from .executor import (
    EXECUTORS as EXECUTORS,
    Executor as Executor,
    ExecutorLike as ExecutorLike,
    ExecutorSettings as ExecutorSettings,
    LostWorkerError as LostWorkerError,
    open_executor as open_executor,
)
from .processes import Processes as Processes
from .ray import Ray as Ray
from .slurm import Slurm as Slurm
