"""What README and docs say is true: their code runs, their links lead somewhere."""

import importlib.util
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tests.pages import ROOT, run_page
from udacity_gym.cli import make_parser
from udacity_gym.cli.options import read_options
from udacity_gym.cli.shared import executor_of
from udacity_gym.conditions import FIELDS, NAMED
from udacity_gym.experts import PurePursuit
from udacity_gym.installation import EXTRAS
from udacity_gym.recording import record
from udacity_gym.sensors import Label

PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "tutorial").glob("*.md")]
)


def anchors(page: Path) -> set[str]:
    """What GitHub and Sphinx call the headings of a page in links."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_its_heading(page: Path):
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            missing.append(target)
    assert missing == []


def test_every_module_that_the_architecture_names_is_there():
    named = set(
        re.findall(r"[a-z0-9_]+\.py", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    )
    there = {
        path.name for package in ("udacity_gym", "algorithms") for path in (ROOT / package).rglob("*.py")
    }
    assert len(named) > 50
    assert named <= there


def test_the_environments_page_is_the_environments_docstring():
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    page = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    assert page == build.environment_page(), "run: python docs/build.py"


def test_the_page_about_tracks_runs_and_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / "tracks.md")["env"].close()


@pytest.mark.long
def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import gymnasium as gym

    monkeypatch.chdir(tmp_path)
    with gym.make("UdacitySim-v0", cameras=("center", "left", "right"), mode="training") as env:
        record(env, PurePursuit(), "path/to/recording", seconds=10)
    names = run_page(ROOT / "README.md", {"seed=0).learn()": "epochs=1).learn()", "laps=3": "max_seconds=5"})
    assert names["info"]["lap"] == 1
    assert names["policy"].actions == ("steering", "throttle")
    names["env"].close()


@pytest.mark.long
def test_the_quickstart_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shorter = {"laps=2": "seconds=10", "seed=0).learn()": "epochs=1).learn()", "laps=3": "max_seconds=5"}
    names = run_page(ROOT / "docs" / "quickstart.md", shorter)
    assert len(names["laps"]) == 150


def test_the_page_about_conditions_runs_and_names_every_condition_field_and_label():
    run_page(ROOT / "docs" / "conditions.md")["env"].close()
    page = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    assert [name for name in (*NAMED, *FIELDS) if f"`{name}`" not in page] == []
    assert re.findall(r"\| (\d) \| `(\w+)` \|", page) == [(str(int(label)), label.name) for label in Label]


def test_the_page_about_scale_runs_and_the_files_for_clusters_have_commands_of_ours():
    run_page(ROOT / "docs" / "scale.md")
    texts = [(ROOT / "docs" / "scale.md").read_text(encoding="utf-8")]
    files = sorted((ROOT / "examples" / "cluster").iterdir())
    assert {path.suffix for path in files} == {".sh", ".yaml"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":
            yaml = pytest.importorskip("yaml")
            data = yaml.safe_load(text)
            texts.append("\n".join(str(data.get("run", data.get("spec", {}).get("entrypoint"))).splitlines()))
        else:
            subprocess.run(["bash", "-n", str(path)], check=True)
            texts.append(text.replace("\\\n", " "))
    commands = [c for text in texts for c in re.findall(r"^ *udacity-gym (.*)$", text, re.M)]
    assert len(commands) >= 7
    for command in commands:
        words = shlex.split(command)
        parsed = make_parser(words).parse_args(words)
        if hasattr(parsed, "executor"):
            options = import_module(f"udacity_gym.cli.{parsed.verb}").Options
            executor_of(read_options(options, parsed))


def test_the_page_about_performance_runs():
    run_page(ROOT / "docs" / "performance.md")["envs"].close()


def test_the_gallery_shows_udacitys_tracks_and_stays_small():
    folder = ROOT / "docs" / "images" / "gallery"
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name in ("lake", "jungle"):
        for kind in ("lap", "sensors", "chase", "conditions"):
            assert f"images/gallery/{name}-{kind}.webp" in page, "run: python docs/build.py gallery"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.5e6


def test_the_page_about_the_hub_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / "hub.md")


def test_the_page_about_pretrained_policies_runs():
    run_page(ROOT / "docs" / "pretrained.md")


def test_the_page_about_the_installation_names_every_extra():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert [name for name in EXTRAS if f"`{name}`" not in page] == []
