"""Two rounds of DAgger that take seconds, to compare executors."""

from typing import Any

SMALL_DAGGER: dict[str, Any] = {
    "rounds": 2,
    "frames": 24,
    "rollouts": 2,
    "epochs": 1,
    "steps_per_epoch": 1,
    "batch_size": 8,
    "threads": 1,
    "side_cameras": 0.0,
    "progress": False,
}
