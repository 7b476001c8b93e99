"""Extras: what each is for, how to install it, and what happens without it."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import algorithms
from tests.pages import ROOT
from udacity_gym import installation
from udacity_gym.errors import MissingDependencyError
from udacity_gym.evaluation import figures
from udacity_gym.installation import (
    EXTRAS,
    Extra,
    conflict_of,
    extra_of,
    install_command,
    missing,
    require,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = PROJECT["optional-dependencies"]
FOR_DEVELOPERS = {"test", "docs", "dev"}


class Installed:
    """Stands for the distribution that pip has installed from somewhere."""

    def __init__(self, origin: object) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def test_every_extra_is_described():
    assert EXTRAS.keys() == DECLARED.keys() - FOR_DEVELOPERS - {"all"}


def test_all_has_every_extra_that_can_live_with_the_others():
    (everything,) = DECLARED["all"]
    assert Requirement(everything).extras == {name for name, extra in EXTRAS.items() if not extra.conflict}


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, 'pip install "udacity-gym[train,plot]"'),
        (
            {"url": "file:///home/me/udacity%20gym", "dir_info": {"editable": True}},
            'pip install -e "/home/me/udacity gym[train,plot]"',
        ),
        ({"url": "file:///src", "dir_info": {}}, 'pip install "/src[train,plot]"'),
        (
            {"url": "file:///dist/udacity_gym-1-py3-none-any.whl", "archive_info": {}},
            'pip install "udacity-gym[train,plot] @ file:///dist/udacity_gym-1-py3-none-any.whl"',
        ),
        (
            {"url": "https://git.org/me/gym", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            'pip install "udacity-gym[train,plot] @ git+https://git.org/me/gym@abc"',
        ),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
def test_the_command_installs_from_where_this_installation_comes_from(origin, command, monkeypatch):
    monkeypatch.setattr(installation, "distribution", lambda name: Installed(origin))
    assert install_command("train", "plot") == command


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch):
    module = EXTRAS[name].modules[0]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as caught:
        require(module, "the test", name)
    assert str(caught.value).startswith(
        f"the test needs {module}, which is not installed: {install_command(name)}"
    )


def test_a_broken_package_is_told_from_a_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_package.py").write_text("import nonsense_that_is_nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"can't be imported.*nonsense_that_is_nowhere"):
        require("broken_package", "the test", "train")


def test_the_first_extra_that_has_a_module_is_named():
    assert (extra_of("h5py"), extra_of("torch.nn"), extra_of("json")) == ("convert", "train", None)


def test_an_extra_that_would_replace_a_package_wants_its_own_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "version", lambda name: "1.4.0")
    assert "gymnasium<1" in str(conflict_of("imitation"))
    assert "in an environment of its own" in str(missing("imitation", "the test"))
    monkeypatch.setattr(installation, "version", lambda name: "0.29.1")
    assert conflict_of("imitation") is None
    assert conflict_of("train") is None


@pytest.mark.parametrize("name", ["BehavioralCloning", "DAgger", "NetworkPolicy"])
def test_learners_without_torch_name_the_extra(name: str, monkeypatch: pytest.MonkeyPatch):
    def find(name: str) -> object:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    explained, _, _ = installation.lazy_names((find, list, []), "algorithms")
    with pytest.raises(MissingDependencyError, match=re.escape(f"algorithms.{name} needs torch")) as caught:
        explained(name)
    assert install_command("train") in str(caught.value)
    assert hasattr(algorithms, name)


def test_a_report_without_matplotlib_says_what_its_figures_need(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "NO_FIGURES", missing("matplotlib", "a figure"))
    assert install_command("plot").replace('"', "&#34;") in figures.steering_histogram(np.zeros(3), None)


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=list(EXTRAS))
def test_an_extra_is_described_by_what_it_installs(extra: Extra):
    assert extra.modules
    assert extra.purpose[0].isalpha()
    for module in extra.modules:
        assert "." not in module


def test_the_version_comes_from_one_place():
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?\w+)?", import_module("udacity_gym").__version__)


def test_every_package_of_the_project_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(re.match(r"==\d", str(pin.specifier)) for pin in pinned)
    named = (PROJECT["dependencies"], *DECLARED.values())
    names = {canonicalize_name(Requirement(text).name) for texts in named for text in texts}
    own_environment = {name for name, extra in EXTRAS.items() if extra.conflict}
    assert {pin.name for pin in pinned} == names - own_environment - {"udacity-gym"}
