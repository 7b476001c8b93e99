"""Settings of the documentation site: ``make docs`` builds it with Sphinx."""

import inspect
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "udacity-gym"
author = "the udacity-gym developers"
copyright = author
version = release = version_of("udacity-gym")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "Thumbs.db", "**.ipynb_checkpoints"]
# Attributes of several classes have the same name, such as `s`; a docstring that names it means none of them.
suppress_warnings = ["ref.python"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_mock_imports = ["imitation"]  # needs older versions of what the site is built with
autodoc_type_aliases = {"Action": "NDArray[np.float32]", "ArrayLike": "ArrayLike"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
default_role = "code"

html_theme = "furo"
html_title = "udacity-gym"
html_theme_options = {"source_directory": "docs/", "top_of_page_buttons": ["view"]}
html_show_sourcelink = False
html_copy_source = False


def _translate(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings have tables, code and headings as in Markdown, and shapes such as (n, *shape)."""
    text = inspect.cleandoc("\n".join(lines))
    lines[:] = re.sub(r"(?<![*`\w])\*(?=\w)", r"\*", _markdown(text)).splitlines()


def _markdown(text: str) -> str:
    """Fences, headings and tables of Markdown in a docstring as reStructuredText."""
    out: list[str] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        stripped, indent = line.lstrip(), line[: len(line) - len(line.lstrip())]
        if stripped.startswith("```"):
            out += ["", f"{indent}.. code-block:: {stripped[3:] or 'text'}", ""]
            number += 1
            while number < len(lines) and not lines[number].lstrip().startswith("```"):
                out.append(f"{indent}    {lines[number][len(indent) :]}")
                number += 1
            out.append("")
        elif stripped.startswith("|"):
            rows = []
            while number < len(lines) and lines[number].lstrip().startswith("|"):
                rows.append([cell.strip() for cell in lines[number].strip().strip("|").split("|")])
                number += 1
            number -= 1
            rows = [row for row in rows if not all(set(cell) <= set("-: ") and cell for cell in row)]
            out += ["", f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
            for row in rows:
                for column, cell in enumerate(row):
                    out.append(f"{indent}   {'* -' if column == 0 else '  -'} {cell}".rstrip())
            out.append("")
        elif stripped.startswith("#"):
            out += ["", f"{indent}**{stripped.lstrip('# ')}**", ""]
        else:
            out.append(line)
        number += 1
    return "\n".join(out)


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", _translate, priority=100)
