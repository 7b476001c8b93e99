"""The tutorial: each page and its notebook are the same, and every lesson runs from top to bottom."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.pages import ROOT

nbformat = pytest.importorskip("nbformat", reason="notebooks need the packages of development")
for _package in ("jupytext", "nbclient"):
    pytest.importorskip(_package, reason="notebooks need the packages of development")

TUTORIAL = ROOT / "docs" / "tutorial"
SMALL: dict[str, dict[str, Any]] = {
    "1-behavioural-cloning": {"SECONDS": 10},
    "2-record": {"SECONDS": 10},
    "3-data": {"SECONDS": 10},
    "4-preprocess": {"SECONDS": 6},
    "5-train": {"SECONDS": 12, "EPOCHS": 1},
    "6-drive": {"SECONDS": 60, "EPOCHS": 2, "ROUNDS": 2, "HUMAN_EPOCHS": 1},
}
"""Settings with which each lesson takes seconds instead of minutes."""


def _load_notebooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = _load_notebooks()
PAGES = notebooks.pages()


def test_there_are_small_settings_for_every_lesson():
    assert [page.stem for page in PAGES] == list(SMALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_and_its_notebook_agree(page: Path):
    written = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(written)
    assert written == notebooks.to_notebook(page), "run: python docs/build.py notebooks"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_has_exercises_with_answers_and_pictures_that_its_cells_show(page: Path):
    text = page.read_text(encoding="utf-8")
    exercises = re.search(r"^## Exercises\n(.*?)^## Answers\n(.*)", text, re.M | re.S)
    assert exercises is not None
    asked = re.findall(r"^(\d)\. ", exercises[1], re.M)
    assert asked == re.findall(r"^\*\*(\d)\.\*\*", exercises[2], re.M)
    assert len(asked) >= 3
    shown = [cell["name"] for cell in notebooks.CELL.finditer(text) if cell["name"]]
    assert shown == re.findall(r"images/tutorial/([^)]+)", text), "a picture does not follow its cell"
    assert len(shown) == len(set(shown)) >= 1


def test_all_pictures_of_the_tutorial_are_shown():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {path.name for path in notebooks.PICTURES.iterdir()} == set(
        re.findall(r"tutorial/([^)]+)\)", text)
    )


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_runs_and_its_cells_print_and_show_what_the_page_has(page: Path, tmp_path: Path):
    notebook = notebooks.run(notebooks.to_notebook(page), tmp_path, SMALL[page.stem])
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    blocks = notebooks.CELL.finditer(page.read_text(encoding="utf-8"))
    for cell, block in zip(cells, blocks, strict=True):
        printed, pictures = notebooks.outcome(cell.outputs)
        assert bool(printed) == bool(block["text"]), cell.source
        assert len(pictures) == bool(block["name"]), cell.source


def test_a_setting_that_a_lesson_does_not_have_is_refused(tmp_path: Path):
    with pytest.raises(KeyError, match="no variable LAPS_OF_HONOUR"):
        notebooks.run(notebooks.to_notebook(PAGES[0]), tmp_path, {"LAPS_OF_HONOUR": 1})
