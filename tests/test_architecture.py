"""The structure of both packages: which module imports which, and where documented names are."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.pages import ROOT

PACKAGES = ("udacity_gym", "algorithms")
FORBIDDEN = {
    "udacity_gym": ("algorithms",),
    "udacity_gym.world": ("udacity_gym.protocol", "udacity_gym.simulators", "udacity_gym.env"),
    "udacity_gym.protocol": ("udacity_gym.simulators", "udacity_gym.world", "udacity_gym.env"),
    "udacity_gym.driving": ("udacity_gym.recording", "udacity_gym.evaluation", "udacity_gym.cli"),
    "udacity_gym.recording": ("udacity_gym.evaluation", "udacity_gym.cli"),
    "algorithms.policies": ("algorithms.training", "algorithms.dagger", "algorithms.adapters"),
    "algorithms.training": ("algorithms.dagger", "algorithms.adapters"),
}
"""What the modules of a package must not import when they are imported themselves."""
GROUPS = (
    "executors",
    "experts",
    "learners",
    "losses",
    "networks",
    "policy_loaders",
    "simulators",
    "suites",
    "trackers",
)
"""Kinds of entry points, which documents name ``udacity_gym.learners`` and the like."""


def _modules() -> dict[str, Path]:
    names = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = _modules()


def _executed(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, those for type checkers left out."""
    for statement in body:
        if isinstance(statement, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(statement.test):
                yield from _executed(statement.body)
            yield from _executed(statement.orelse)
        elif isinstance(statement, ast.Try):
            for part in (statement.body, *(h.body for h in statement.handlers), statement.orelse):
                yield from _executed(part)
        elif isinstance(statement, ast.ClassDef | ast.With):
            yield from _executed(statement.body)
        else:
            yield statement


def _imports(source: str, modules: Iterable[str]) -> set[str]:
    """Modules among ``modules`` that this source imports when it is imported."""
    found = set()
    for statement in _executed(ast.parse(source).body):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "imports are absolute"
            for alias in statement.names:
                name = f"{statement.module}.{alias.name}"
                found.add(name if name in modules else str(statement.module))
    return found & set(modules)


GRAPH = {name: _imports(path.read_text(encoding="utf-8"), MODULES) for name, path in MODULES.items()}


def _room(module: str) -> str:
    """The package of a module; of a top-level module such as ``udacity_gym.env`` the module itself."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    return module if package in PACKAGES else package


def _rooms() -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for module, imported in GRAPH.items():
        rooms.setdefault(_room(module), set()).update(map(_room, imported))
    return {room: imported - {room} for room, imported in rooms.items()}


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_graph_sees_imports_as_the_interpreter_does():
    source = """
import a.b
from a import c

if TYPE_CHECKING:
    import d

def later():
    import e

try:
    import f
except ImportError:
    pass
"""
    assert _imports(source, ["a", "a.b", "a.c", "d", "e", "f"]) == {"a.b", "a.c", "f"}
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) != []
    assert len(GRAPH) > 150
    assert "udacity_gym.telemetry" in GRAPH["udacity_gym.env"]


def test_no_module_imports_itself_by_others():
    assert _cycle(GRAPH) == []


def test_no_package_imports_itself_by_others():
    assert _cycle(_rooms()) == []


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_does_not_import_what_stands_above_it(package: str):
    wrong = [
        f"{module} imports {imported}"
        for module, names in GRAPH.items()
        for imported in names
        if f"{module}.".startswith(f"{package}.")
        and any(f"{imported}.".startswith(f"{above}.") for above in FORBIDDEN[package])
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "stub",
    [stub for package in PACKAGES for stub in sorted((ROOT / package).rglob("__init__.pyi"))],
    ids=lambda stub: str(stub.parent.relative_to(ROOT)),
)
def test_the_stub_of_a_package_names_all_its_modules(stub: Path):
    named = set(re.findall(r"(\w+) as \1\b", stub.read_text(encoding="utf-8")))
    modules = {path.stem for path in stub.parent.glob("*.py") if not path.stem.startswith("__")}
    packages = {path.parent.name for path in stub.parent.glob("*/__init__.py")}
    assert sorted((modules | packages) - named) == []


def _documented() -> set[str]:
    """Dotted names of both packages in the documents, without those of other projects and of files."""
    names = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        names |= set(re.findall(r"(?<![\w./])(?:udacity_gym|algorithms)(?:\.[A-Za-z_]\w*)+", text))
    return {name for name in names if not name.endswith(".py")} - {f"udacity_gym.{group}" for group in GROUPS}


def test_every_name_in_the_documents_can_be_reached_after_import():
    names = sorted(_documented())
    assert len(names) > 30
    code = (
        "import functools, os, cv2, numba, pandas, torch, udacity_gym, algorithms\n"
        f"for name in {names!r}:\n"
        "    if os.fork() == 0:  # a name is not to be found only because another one was\n"
        "        try:\n"
        "            functools.reduce(getattr, name.split('.')[1:], globals()[name.split('.')[0]])\n"
        "        except AttributeError as error:\n"
        "            print(f'{name}: {error}', flush=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == ""
