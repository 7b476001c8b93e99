"""What all tests share: real recordings, compiled kernels, how examples are drawn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# An example may take as long as it takes: no test depends on how fast the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

COMPILE = """
import numpy as np
from udacity_gym import UdacityEnv, UdacityVectorEnv
from udacity_gym.experts import Racing
from udacity_gym.world.jit import is_on_disk
from udacity_gym.world.rendering.relight import develop

if not is_on_disk(develop):  # the last to be compiled
    envs = UdacityVectorEnv(2, cameras=())
    envs.reset(seed=0)
    envs.step(np.zeros((2, 2), np.float32))
    with UdacityEnv(conditions={"weather": "rain", "noise": 5.0}) as env:
        observation, info = env.reset(seed=0)
        env.step(Racing()(observation, info))
"""
"""Compiles the kernels of physics and images, and keeps them on disk."""

SHARED = Path(__file__).parents[2] / "shared"
RECORDINGS = Path(os.environ.get("UDACITY_GYM_RECORDINGS", SHARED / "recordings"))
MODELS = Path(os.environ.get("UDACITY_GYM_MODELS", SHARED / "models"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Compile the kernels once, before each of several processes would do so."""
    subprocess.run([sys.executable, "-c", COMPILE], check=True, cwd=Path(__file__).parents[1])


def _require(path: Path, reason: str) -> Path:
    """Skip a test where a folder is missing, or fail it where nothing may be skipped."""
    if not path.is_dir():
        if os.environ.get("UDACITY_GYM_REQUIRE_RECORDINGS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def _recording(name: str) -> Path:
    path = RECORDINGS / name
    return _require(
        path, f"no recording at {path}: set UDACITY_GYM_RECORDINGS to a folder with lake/ and jungle/"
    )


@pytest.fixture(scope="session")
def lake_recording() -> Path:
    """A real recording of the lake track: 2000 rows, three cameras."""
    return _recording("lake")


@pytest.fixture(scope="session")
def jungle_recording() -> Path:
    """A real recording of the jungle track: 2200 rows, three cameras."""
    return _recording("jungle")


@pytest.fixture(scope="session")
def foreign_models() -> Path:
    """Keras models that others trained on Udacity's own simulator."""
    return _require(
        MODELS, f"no models at {MODELS}: set UDACITY_GYM_MODELS to a folder with those of docs/fidelity.md"
    )


@pytest.fixture(scope="session")
def log_heads() -> Path:
    """Heads of logs found in the wild, with the expected parse in MANIFEST.csv."""
    return _recording("log-heads")
