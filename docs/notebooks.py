"""The tutorial's notebooks and pictures, made from its pages by `docs/build.py tutorial`.

A page of `docs/tutorial` is plain Markdown. Each block marked as python is a cell of its notebook. The text
block after it is what the cell prints, the picture after it is what the cell shows. Both are written by this
program, and neither is part of the notebook, where they appear when the cell runs.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

DOCS = Path(__file__).parent
FOLDER = DOCS / "tutorial"
PICTURES = DOCS / "images" / "tutorial"
QUALITY = 80
"""Of the WebP files."""
CELL = re.compile(
    r"(?P<code>^```python[^\n]*\n.*?^```\n)"
    r"(?P<text>\n```text\n.*?^```\n)?"
    r"(?P<picture>\n!\[[^\]]*\]\(\.\./images/tutorial/(?P<name>[^)]+)\)\n)?",
    re.M | re.S,
)
"""A cell of a page, with what it prints and shows."""


def pages() -> list[Path]:
    """The lessons, in order."""
    return sorted(FOLDER.glob("[0-9]*.md"))


def to_notebook(page: Path) -> nbformat.NotebookNode:
    """A page as a notebook without outputs."""
    text = CELL.sub(lambda cell: cell["code"], page.read_text(encoding="utf-8"))
    text = re.sub(r"\(([0-9]-[a-z-]+)\.md\)", r"(\1.ipynb)", text)
    text = re.sub(r"(!\[[^\]]*\]\()(\.\./images/[^)]+)\)", lambda m: f"{m[1]}{_data_uri(page, m[2])})", text)
    notebook = jupytext.reads(text, fmt="md")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
    return notebook


def run(
    notebook: nbformat.NotebookNode, folder: Path, settings: Mapping[str, Any] | None = None
) -> nbformat.NotebookNode:
    """Run all cells of a notebook, in place.

    Args:
        notebook: the notebook.
        folder: where it runs, and leaves its files.
        settings: other values of the variables in the cell tagged "parameters".

    Returns:
        The same notebook, with outputs.

    Raises:
        KeyError: The cell "parameters" does not have one of the variables.
        nbclient.exceptions.CellExecutionError: A cell raised an exception.
    """
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    for name, value in (settings or {}).items():
        if not re.search(rf"^{name} = ", parameters.source, re.M):
            raise KeyError(f"no variable {name} in the notebook's settings: {parameters.source}")
        parameters.source += f"\n{name} = {value!r}"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(DOCS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TQDM_DISABLE": "1",
    }
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook


def write_notebooks() -> None:
    """Write the notebook of each page beside it."""
    for page in pages():
        nbformat.write(to_notebook(page), page.with_suffix(".ipynb"))


def build(numbers: Sequence[str] = ()) -> None:
    """Run lessons, and write their pictures and printed text; then write all notebooks.

    Args:
        numbers: numbers of the lessons to run; none means all.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    for page in pages():
        if numbers and page.name.partition("-")[0] not in numbers:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(to_notebook(page), Path(folder))
        outputs = iter([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
        text = page.read_text(encoding="utf-8")
        text = CELL.sub(lambda cell: _with_outputs(cell, next(outputs)), text)  # noqa: B023
        page.write_text(text, encoding="utf-8")
    write_notebooks()


def outcome(outputs: list[nbformat.NotebookNode]) -> tuple[str, list[bytes]]:
    """What a cell printed, and the pictures that it showed."""
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    return printed, [picture for output in outputs if (picture := _picture(output)) is not None]


def _with_outputs(cell: re.Match[str], outputs: list[nbformat.NotebookNode]) -> str:
    """A cell of a page with what it printed; its picture is written to its file."""
    printed, pictures = outcome(outputs)
    if bool(printed) != bool(cell["text"]) or len(pictures) != bool(cell["name"]):
        raise SystemExit(
            f"this cell printed {printed!r} and showed {len(pictures)} pictures; "
            f"give it a text block if it prints, and one picture if it shows one:\n{cell['code']}"
        )
    if cell["name"]:
        _write_picture(pictures[0], PICTURES / cell["name"])
    text = f"\n```text\n{printed}```\n" if printed else ""
    return cell["code"] + text + (cell["picture"] or "")


def _picture(output: nbformat.NotebookNode) -> bytes | None:
    """The picture of an output: an animated WebP, or a PNG."""
    data = output.get("data", {})
    for kind in ("image/webp", "image/png"):
        if kind in data:
            return base64.b64decode(data[kind])
    return None


def _write_picture(data: bytes, path: Path) -> None:
    """Write a picture as WebP; one that is WebP already stays as it is."""
    if data[8:12] == b"WEBP":
        path.write_bytes(data)
    else:
        Image.open(io.BytesIO(data)).convert("RGB").save(path, quality=QUALITY, method=6)


def _data_uri(page: Path, target: str) -> str:
    """A picture of the docs inside of a notebook, which may be opened far from the docs."""
    path = page.parent / target
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"
