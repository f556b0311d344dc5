"""The house is in order: imports point one way, names are documented, and the papers agree."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import apimall_async
from apimall_async import testing, ui


ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
PACKAGE = "apimall_async"
FACADES = [apimall_async, testing, ui]

ARROWS = {  # module: what it imports of the package, and of the others what it must not know
    "_version": ((), "aiohttp asyncio attrs"),
    "_errors": ((), "aiohttp asyncio attrs cattrs"),
    "_html": ((), "aiohttp asyncio attrs cattrs"),
    "_models": (("_html",), "aiohttp asyncio cattrs"),
    "_pace": ((), "aiohttp asyncio backoff time random"),
    "_protocol": (("_errors", "_models"), "aiohttp asyncio backoff socket time"),
    "_walk": (("_errors", "_models", "_protocol"), "aiohttp backoff socket time yarl"),
    "_guard": (("_errors", "_pace", "_protocol"), "aiohttp cattrs"),
    "_settings": (("_errors", "_protocol"), "asyncio cattrs"),
    "_transport": (("_errors", "_protocol"), "backoff cattrs"),
    "_images": (("_images._transfer",), "aiohttp asyncio backoff cattrs"),
    "_images._failures": (("_errors", "_protocol", "_transport"), "asyncio backoff cattrs socket"),
    "_images._hosts": (("_images._failures",), "aiohttp asyncio backoff cattrs"),
    "_images._names": ((), "aiohttp asyncio backoff cattrs socket yarl"),
    "_images._partial": (("_images._names",), "aiohttp backoff cattrs socket yarl"),
    "_images._sessions": (("_images._hosts", "_version"), "backoff cattrs socket yarl"),
    "_images._transfer": (
        (
            "_errors",
            "_images._failures",
            "_images._hosts",
            "_images._names",
            "_images._partial",
            "_images._sessions",
            "_models",
        ),
        "backoff cattrs socket",
    ),
    "_client": (
        (
            "_errors",
            "_guard",
            "_images",
            "_models",
            "_protocol",
            "_settings",
            "_transport",
            "_version",
            "_walk",
        ),
        "cattrs",
    ),
    "": (("_client", "_errors", "_guard", "_models", "_version"), "aiohttp asyncio"),
    "__main__": (("cli",), "aiohttp asyncio"),
}
OUTER = {  # subpackage: what it may import of the package besides itself
    "testing": {""},
    "ui": {"", "testing"},
    "cli": {"", "testing", "ui"},
}


class Import(NamedTuple):
    """One imported module, by its dotted name."""

    target: str
    line: int
    nested: bool


class Module(NamedTuple):
    """A module of the package, by its dotted name without the package's; the façade is ''."""

    name: str
    path: Path

    @property
    def imports(self) -> list[Import]:
        """All that it imports, wherever in it."""
        return list(_imports(ast.parse(self.path.read_text()), nested=False))

    @property
    def inner(self) -> dict[str, int]:
        """What it imports of the package: the name without the package's, and the line."""
        found: dict[str, int] = {}
        for one in self.imports:
            package, _, rest = one.target.partition(".")
            if package == PACKAGE:
                found.setdefault(rest, one.line)
        return found


def _imports(node: ast.AST, *, nested: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, nested) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(_target(child, alias.name), child.lineno, nested)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, nested=nested or inside)


def _target(node: ast.ImportFrom, name: str) -> str:
    """Tell ``from package import module`` from ``from module import name``."""
    module = "." * node.level + (node.module or "")
    return f"{module}.{name}" if f"{module}.{name}" in DOTTED else module


def _modules() -> list[Module]:
    found: list[Module] = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found.append(Module(".".join(parts).removesuffix("__init__").rstrip("."), path))
    return found


MODULES = _modules()
DOTTED = {f"{PACKAGE}.{module.name}" for module in MODULES if module.name}
EVERY_MODULE = pytest.mark.parametrize(
    "module", [pytest.param(one, id=one.name or "façade") for one in MODULES]
)


@EVERY_MODULE
def test_imports_point_one_way(module: Module) -> None:
    """A module imports what the table above says, no more; the outer packages only the façades."""
    package = module.name.partition(".")[0]
    if package in OUTER:
        strangers = {name: line for name, line in module.inner.items() if name.partition(".")[0] != package}
        allowed = OUTER[package]
    else:
        assert module.name in ARROWS, f"{module.path} has no row in ARROWS: say what it may import"
        strangers, allowed = module.inner, set(ARROWS[module.name][0])
        assert allowed <= strangers.keys(), f"{module.path} no longer imports all that ARROWS says"
    wrong = [
        f"{module.path}:{line} imports {PACKAGE}.{name}".rstrip(".") + f", beyond {sorted(allowed)}"
        for name, line in strangers.items()
        if name not in allowed
    ]
    assert not wrong, "\n".join(wrong)


@EVERY_MODULE
def test_a_module_does_not_know_too_much(module: Module) -> None:
    """What is pure has no clock, no socket and no loop; what is foreign stays in one place."""
    _, foreign = ARROWS.get(module.name, ((), ""))
    wrong = [
        f"{module.path}:{one.line} imports {one.target}"
        for one in module.imports
        if one.target.partition(".")[0] in foreign.split()
    ]
    assert not wrong, "\n".join(wrong)


@EVERY_MODULE
def test_no_import_hides(module: Module) -> None:
    """Imports stand at the top: absolute, and not in a function."""
    wrong = [
        f"{module.path}:{one.line} imports {one.target} in a function, or relatively"
        for one in module.imports
        if one.nested or one.target.startswith(".")
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_cycle() -> None:
    """The modules can be put in an order in which each imports only those before it."""
    waiting = {module.name: set(module.inner) - {module.name} for module in MODULES}
    while ready := {name for name, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}
    assert not waiting, f"these import each other: {sorted(waiting)}"


def test_every_row_of_the_table_is_a_module() -> None:
    """The table says nothing of modules that are gone."""
    names = {module.name for module in MODULES}
    assert ARROWS.keys() <= names


def test_a_package_is_imported_by_its_own_name() -> None:
    """What is outside of a private package imports none of the modules in it."""
    wrong = [
        f"{module} imports {target}"
        for module, (targets, _) in ARROWS.items()
        for target in targets
        if "." in target and target.partition(".")[0] != module.partition(".")[0]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("facade", FACADES)
def test_all_is_sorted_and_complete(facade: ModuleType) -> None:
    """``__all__`` holds every public name of a façade, each once, in order."""
    public = {name for name, value in vars(facade).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert list(facade.__all__) == sorted(set(facade.__all__))
    assert set(facade.__all__) - {"__version__"} == public


def public_names() -> list[tuple[str, str]]:
    """List the public names, each with its façade's."""
    return [(one.__name__, name) for one in FACADES for name in one.__all__ if name != "__version__"]


@pytest.mark.parametrize(("facade", "name"), public_names())
def test_every_public_name_is_documented(facade: str, name: str) -> None:
    """It, and what is public in it, has a docstring; and the reference has it."""
    thing = getattr(import_module(facade), name)
    members = vars(thing).items() if inspect.isclass(thing) else ()
    undocumented = [
        f"{name}.{member}"
        for member, value in members
        if member[0] != "_"
        and (callable(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(thing, member))
    ]
    assert thing.__doc__
    assert not undocumented
    assert re.search(rf"^\.\. auto\w+:: {facade}\.{name}$", REFERENCE.read_text(), re.MULTILINE)


def test_version_and_changelog_agree() -> None:
    """The newest entry of the changelog is this version's, and so is the installed metadata."""
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == apimall_async.__version__ == version("apimall-async")


def test_the_package_is_typed() -> None:
    """What is installed tells type checkers so."""
    assert Path(apimall_async.__file__).with_name("py.typed").exists()


def commands(text: str) -> list[str]:
    """Find the one-line commands that set up all they need."""
    return re.findall(r"^\s*(?:\w+=')?(python3 -m venv .+?)'?$", text, re.MULTILINE)


def test_ci_runs_the_commands_of_the_readme() -> None:
    """The two commands near the top of the README are those that .ci/run runs, word for word."""
    readme = (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text().replace("'\\''", "'")
    for command in commands("\n".join(readme.splitlines()[:40])):
        assert command in script
    assert len(commands("\n".join(readme.splitlines()[:40]))) == 2
