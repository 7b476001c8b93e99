"""Where the tests find recordings that are not part of the project, and how examples are drawn."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# An example may take as long as it takes: no test depends on how fast the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

RECORDINGS = Path(
    os.environ.get("UDACITY_GYM_RECORDINGS", Path(__file__).parents[2] / "shared" / "recordings")
)


def _recording(name: str) -> Path:
    path = RECORDINGS / name
    if not path.is_dir():
        reason = f"no recording at {path}: set UDACITY_GYM_RECORDINGS to a folder with lake/ and jungle/"
        if os.environ.get("UDACITY_GYM_REQUIRE_RECORDINGS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def lake_recording() -> Path:
    """A real recording of the lake track: 2000 rows, three cameras."""
    return _recording("lake")


@pytest.fixture(scope="session")
def jungle_recording() -> Path:
    """A real recording of the jungle track: 2200 rows, three cameras."""
    return _recording("jungle")


@pytest.fixture(scope="session")
def log_heads() -> Path:
    """Heads of logs found in the wild, with the expected parse in MANIFEST.csv."""
    return _recording("log-heads")
