"""Runs the code of a documentation page as a reader would."""

import contextlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run_page(page: Path, shorter: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a page's python blocks in order; a text block is what the one before it must have printed.

    Args:
        page: the Markdown file.
        shorter: pieces of code to replace, so that a test does not take minutes; each must occur.

    Returns:
        The names that the blocks have defined.
    """
    blocks = re.findall(r"^```(python|text)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    assert any(kind == "python" for kind, _ in blocks), f"no code in {page}"
    code = "".join(block for kind, block in blocks if kind == "python")
    for piece in shorter or {}:
        assert piece in code, f"{page} no longer says {piece!r}"
    names: dict[str, Any] = {}
    printed = ""
    for kind, block in blocks:
        if kind == "text":
            assert printed == block
            continue
        for piece, replacement in (shorter or {}).items():
            block = block.replace(piece, replacement)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(block, str(page), "exec"), names)
        printed = output.getvalue()
    return names
