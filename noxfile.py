"""The one door to every check: ``nox`` runs what a change must pass, ``nox --list`` names them all."""

import os
import shutil
import subprocess

import nox


nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # nor where CI is set: test those that are there

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
OLDEST = PYTHONS[0]
PROJECT = nox.project.load_toml("pyproject.toml")
ENV = {"PYTHONSAFEPATH": "1"}  # test what is installed, not the checkout

if pyenv := shutil.which("pyenv"):  # its python3.x run only if their versions are selected
    versions = subprocess.check_output([pyenv, "versions", "--bare"], text=True).split()
    os.environ.setdefault("PYENV_VERSION", ":".join(versions))


def group(name: str) -> list[str]:
    """List the requirements of one of the dependency groups."""
    return nox.project.dependency_groups(PROJECT, name)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the built wheel, on every supported Python that is found; on the oldest, ask for every branch."""
    session.install(".[cli]", *group("tests"))
    pytest = ["pytest", "-m", "not browser", *session.posargs]
    if session.python != OLDEST or session.posargs:
        session.run(*pytest, env=ENV)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", *pytest, env=ENV)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=OLDEST)
def browser(session: nox.Session) -> None:
    """Test the history page in Debian's chromium, or in that of APIMALL_CHROMIUM."""
    if not shutil.which(os.environ.get("APIMALL_CHROMIUM", "chromium")):
        session.error("chromium not found: apt-get install chromium, or set APIMALL_CHROMIUM")
    session.install(".[cli]", *group("browser"))
    session.run("pytest", "-m", "browser", "tests/ui", *session.posargs, env=ENV)


@nox.session(python=OLDEST)
@nox.parametrize("backoff", ["backoff", "python-backoff"])
def lowest(session: nox.Session, backoff: str) -> None:
    """Test with the oldest dependencies allowed, and with either release of backoff."""
    pins = f"{session.create_tmp()}/lowest.txt"
    resolve = ["uv", "pip", "compile", "--quiet", "--python-version", OLDEST]
    lowest_direct = ["--resolution", "lowest-direct", "--extra", "cli", "--no-header"]
    session.install("uv")
    session.run(*resolve, *lowest_direct, "pyproject.toml", "--output-file", pins)
    session.install("-r", pins, ".[cli]", *group("tests"))
    if backoff != "backoff":
        session.run("uv", "pip", "uninstall", "--quiet", "backoff")
        session.install(f"{backoff}==3.0.0")
    session.run("pytest", "-m", "not browser", *session.posargs, env=ENV)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style and metadata. ``nox -s lint -- --fix`` mends what can be mended."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if session.posargs else ["--check"]))
    session.run("validate-pyproject", "pyproject.toml")


@nox.session(python=OLDEST)
def types(session: nox.Session) -> None:
    """Check the types of the package, and those that its users see."""
    session.install(".[cli]", *group("types"))
    session.run("mypy", "apimall_async", "tests/typing")
    session.run("pyright")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html, and run every program and snippet in it."""
    session.install(".[cli]", *group("docs"))
    shutil.rmtree("docs/_build", ignore_errors=True)
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", "docs/_build/html")
    session.run("pytest", "tests/test_docs.py", "tests/test_notebook.py", *session.posargs, env=ENV)


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """Measure: ``nox -s bench -- --help`` tells what, and how to choose. No target missed is a failure."""
    session.install(".[cli]", "-r", "tests/benchmarks/requirements.txt")
    session.run("python", "tests/benchmarks", *session.posargs)
