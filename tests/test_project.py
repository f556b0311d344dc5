"""The project is in order: imports point one way, names are documented, and the documents agree."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple, get_origin

import pytest

import apimall_async
from apimall_async import testing, ui


ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
PACKAGE = "apimall_async"
FACADES = [apimall_async, testing, ui]

ARROWS = {  # module: what it imports of the package
    "": "_client _conversion _errors _models _pagination _retry _version",
    "__main__": "cli",
    "_addresses": "",
    "_client": "_contract _conversion _endpoints _errors _images _models _pagination _parts _retry _settings",
    "_connections": "_deadlines _errors",
    "_contract": "",
    "_conversion": "_contract _decoding _extra _json _strict",
    "_deadlines": "",
    "_decoding": "",
    "_endpoints": "_contract _conversion _models",
    "_errors": "_untrusted",
    "_extra": "_decoding _untrusted",
    "_fetcher": (
        "_conversion _endpoints _errors _guard _log _pagination _protocol _redaction _retry _timeouts"
        " _transport"
    ),
    "_frames": "",
    "_guard": "_errors _hints _log _loops _pace _protocol _retry",
    "_hints": "_protocol",
    "_html": "_decoding _untrusted",
    "_images": "_images._transfer",
    "_images._content": "_images._failures",
    "_images._failures": "_errors _network_errors _protocol",
    "_images._hosts": "_images._failures",
    "_images._names": "_images._content",
    "_images._partial": "_images._content _images._names _images._validators",
    "_images._requests": "_images._failures _images._urls _images._waits",
    "_images._resolver": "",
    "_images._sessions": "_images._hosts _images._resolver _version",
    "_images._transfer": (
        "_errors _images._content _images._failures _images._names _images._partial _images._requests"
        " _images._sessions _images._urls _images._validators _images._waits _models"
    ),
    "_images._urls": "_images._failures",
    "_images._validators": "",
    "_images._waits": "_errors _images._failures _protocol",
    "_json": "",
    "_log": "_errors",
    "_loops": "",
    "_models": "_conversion _extra _html _untrusted",
    "_network_errors": "",
    "_pace": "",
    "_page_ranges": "",
    "_pagination": "_pagination._fetch _pagination._iterate _pagination._options",
    "_pagination._boundary": "_errors _pagination._memory _pagination._options",
    "_pagination._end": "_page_ranges _pagination._plan",
    "_pagination._exact": (
        "_contract _conversion _errors _page_ranges _pagination._boundary _pagination._end"
        " _pagination._fetch _pagination._memory _pagination._options _pagination._plan"
        " _pagination._prefetch _pagination._search"
    ),
    "_pagination._fetch": "_conversion _errors _page_ranges _pagination._options",
    "_pagination._iterate": (
        "_conversion _pagination._exact _pagination._fetch _pagination._options _pagination._plain"
        " _pagination._until"
    ),
    "_pagination._memory": "_errors",
    "_pagination._options": "_contract _conversion _page_ranges",
    "_pagination._plain": (
        "_conversion _errors _page_ranges _pagination._fetch _pagination._memory _pagination._options"
    ),
    "_pagination._plan": "_contract _page_ranges",
    "_pagination._prefetch": "_page_ranges _pagination._fetch",
    "_pagination._search": (
        "_errors _page_ranges _pagination._boundary _pagination._fetch _pagination._memory"
        " _pagination._options"
    ),
    "_pagination._until": "_pagination._options",
    "_parts": "_fetcher _guard _redaction _retry _settings _transport _version",
    "_protocol": "_conversion _errors _json",
    "_redaction": "_errors _json",
    "_retry": "_errors",
    "_settings": "_errors _redaction _retry",
    "_strict": "_decoding",
    "_timeouts": "_errors",
    "_transport": (
        "_connections _errors _frames _loops _network_errors _protocol _redaction _settings _timeouts _waits"
    ),
    "_untrusted": "",
    "_version": "",
    "_waits": "_loops",
}
# Leaf modules, each with a rule of the project.
RULES = "_addresses _contract _conversion _extra _json _page_ranges _untrusted"
OUTER = {  # subpackage: what it may import of the package besides itself, the façade and those rules
    "testing": "",
    "ui": "testing",
    "cli": "testing ui",
}
USERS = {  # what has a clock, a socket or a loop, or is foreign: the modules of the core that import it
    "aiohttp": (
        "_client _connections _fetcher _frames _images._failures _images._requests _images._resolver"
        " _images._sessions _images._transfer _images._waits _network_errors _parts _settings _timeouts"
        " _transport"
    ),
    "asyncio": (
        "_connections _deadlines _guard _images._partial _images._resolver _images._sessions"
        " _images._transfer _images._waits _loops _pagination._fetch _pagination._prefetch _transport"
        " _waits"
    ),
    "backoff": "_fetcher",
    "cattrs": "_conversion _strict",
    "json": "_json",
    "msgspec": "_decoding _json _strict",
    "random": "_guard _retry",
    "socket": "_images._hosts _images._resolver",
    "time": "_fetcher _guard _retry _waits",
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
    """A module imports what the tables above say, no more."""
    package = module.name.partition(".")[0]
    if package in OUTER:
        imported = {name: line for name, line in module.inner.items() if name.partition(".")[0] != package}
        allowed = {"", *RULES.split(), *OUTER[package].split()}
    else:
        assert module.name in ARROWS, f"{module.path} has no row in ARROWS: say what it may import"
        imported, allowed = module.inner, set(ARROWS[module.name].split())
        assert allowed <= imported.keys(), f"{module.path} no longer imports all that ARROWS says"
    wrong = [
        f"{module.path}:{line} imports {PACKAGE}.{name}".rstrip(".") + f", beyond {sorted(allowed)}"
        for name, line in imported.items()
        if name not in allowed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("foreign", USERS)
def test_what_is_pure_stays_pure(foreign: str) -> None:
    """What has a clock, a socket or a loop, or is foreign, is used by the modules of that table alone."""
    users = {
        module.name
        for module in MODULES
        for one in module.imports
        if one.target.partition(".")[0] == foreign and module.name.partition(".")[0] not in OUTER
    }
    assert users == set(USERS[foreign].split())


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
    assert ARROWS.keys() | OUTER.keys() | set(RULES.split()) <= names


def test_a_package_is_imported_by_its_own_name() -> None:
    """What is outside of a private package imports none of the modules in it."""
    wrong = [
        f"{module} imports {target}"
        for module, targets in ARROWS.items()
        for target in targets.split()
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
    assert thing.__doc__ or get_origin(thing) is Literal  # which can have none
    assert not undocumented
    assert re.search(rf"^\.\. auto\w+:: {facade}\.{name}$", REFERENCE.read_text(), re.MULTILINE)


def test_version_and_changelog_agree() -> None:
    """The newest entry of the changelog is this version's, and so is the installed metadata."""
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == apimall_async.__version__ == version("apimall-async")


def test_the_package_is_typed() -> None:
    """Type checkers find that in what is installed."""
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
