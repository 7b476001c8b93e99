"""What is published is what was tested."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.pages import ROOT

_, _, JOBS_TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text().partition("\njobs:\n")
JOBS = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", JOBS_TEXT, re.MULTILINE))


@pytest.fixture
def wheel_tests(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / ".ci")
    return importlib.import_module("test_wheel")


def test_a_release_is_built_once_tested_with_all_extras_and_published_as_it_is() -> None:
    assert list(JOBS) == ["build", "test", "publish"]
    assert "needs: build\n" in JOBS["test"]
    assert "needs: test\n" in JOBS["publish"]
    assert [name for name, job in JOBS.items() if "python -m build" in job] == ["build"]
    assert "upload-artifact" in JOBS["build"]
    assert "download-artifact" in JOBS["test"]
    assert "download-artifact" in JOBS["publish"]
    assert "python .ci/test_wheel.py --dist dist --extras all\n" in JOBS["test"]
    assert "checkout" not in JOBS["publish"]


def test_a_folder_with_anything_but_one_wheel_and_one_source_distribution_is_refused(
    tmp_path: Path, wheel_tests: ModuleType
) -> None:
    wheel, source = tmp_path / "udacity_gym-1.whl", tmp_path / "udacity_gym-1.tar.gz"
    wheel.touch()
    with pytest.raises(SystemExit, match="one wheel and one source distribution"):
        wheel_tests.find(tmp_path)
    source.touch()
    assert wheel_tests.find(tmp_path) == (wheel, source)
    (tmp_path / "udacity_gym-0.whl").touch()
    with pytest.raises(SystemExit, match=r"udacity_gym-0\.whl"):
        wheel_tests.find(tmp_path)
