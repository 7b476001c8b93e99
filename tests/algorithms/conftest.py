"""A recording of the simple road."""

from pathlib import Path

import numpy as np
import pytest
from simple_road import write_road_recording


@pytest.fixture(scope="session")
def road_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 rows on the simple road, wandering from side to side."""
    rng = np.random.default_rng(0)
    offsets = np.convolve(rng.normal(size=168), np.ones(9) / 3, mode="valid").clip(-2, 2)
    return write_road_recording(tmp_path_factory.mktemp("recordings") / "road", offsets)
