"""The one door to every check: ``nox`` runs what a change must pass, ``nox --list`` names them all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox


nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # nor where CI is set: test those that are there

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]  # the supported ones; docs/releases.md has the policy
OLDEST = PYTHONS[0]
PROJECT = nox.project.load_toml("pyproject.toml")
ENV = {"PYTHONSAFEPATH": "1"}  # test what is installed, not the checkout
DEBIAN = {  # what the session `outside` needs of it: program, package
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "initdb": "postgresql",
    "mariadbd": "mariadb-server-core",
}
BUILD_ENV = {  # for uv build: the tools that build a release
    "UV_BUILD_CONSTRAINT": str(Path(".github/build-requirements.txt").resolve()),
    "UV_REQUIRE_HASHES": "1",
}
HERE = "not browser and not docs and not outside"  # what needs Python alone

if pyenv := shutil.which("pyenv"):  # its python3.x run only if their versions are selected
    versions = subprocess.check_output([pyenv, "versions", "--bare"], text=True).split()
    os.environ.setdefault("PYENV_VERSION", ":".join(versions))


def group(name: str) -> list[str]:
    """List the requirements of one of the dependency groups."""
    return nox.project.dependency_groups(PROJECT, name)


def continue_backoff(session: nox.Session, *continuation: str) -> None:
    """Put backoff's continuation in its place: both are imported by the same name."""
    session.install("uv")
    session.run("uv", "pip", "uninstall", "--quiet", "backoff")
    session.install(*continuation)


def build(session: nox.Session) -> None:
    """Build the sdist, and from it the wheel, into dist/."""
    shutil.rmtree("dist", ignore_errors=True)
    session.run("uv", "build", "--quiet", env=BUILD_ENV)


def built() -> tuple[Path, Path]:
    """Find the sdist and the wheel in dist/."""
    (sdist,), (wheel,) = Path("dist").glob("*.tar.gz"), Path("dist").glob("*.whl")
    return sdist.resolve(), wheel.resolve()


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the built wheel, on every supported Python that is found; on the oldest, ask for every branch."""
    session.install(".[cli]", *group("tests"))
    pytest = ["pytest", "-n", "auto", "--dist", "worksteal", "-m", HERE, *session.posargs]
    if session.python != OLDEST or session.posargs or sys.platform != "linux":  # systems have own branches
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
def outside(session: nox.Session) -> None:
    """Test against what others wrote: proxies, limiters, paginators, databases, Prism, schemathesis."""
    folders = [os.environ["PATH"], "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    for program, package in DEBIAN.items():
        if not shutil.which(program, path=":".join(folders)):
            session.error(f"{program} not found: apt-get install {package}")
    session.install(".[cli]", *group("outside"))
    session.run("pytest", "-m", "outside", "tests/outside", *session.posargs, env=ENV)


@nox.session(python=OLDEST, tags=["environments"])
@nox.parametrize("backoff", ["backoff", "python-backoff"])
def lowest(session: nox.Session, backoff: str) -> None:
    """Test with the oldest dependencies allowed, and with either release of backoff."""
    pins = f"{session.create_tmp()}/lowest.txt"
    resolve = ["uv", "pip", "compile", "--quiet", "--python-version", OLDEST]
    lowest_direct = ["--resolution", "lowest-direct", "--all-extras", "--no-header"]
    session.install("uv")
    session.run(*resolve, *lowest_direct, "pyproject.toml", "--output-file", pins)
    session.install("-r", pins, ".[cli,parquet]", *group("tests"))
    if backoff != "backoff":
        continue_backoff(session, f"{backoff}==3.0.0")
    session.run("pytest", "-m", HERE, *session.posargs, env=ENV)


@nox.session(python=PYTHONS, tags=["environments"])
def newest(session: nox.Session) -> None:
    """Test with the newest dependencies, releases to come among them, and with backoff's continuation."""
    session.install("--pre", "--upgrade", ".[cli,parquet]", *group("tests"))
    continue_backoff(session, "--pre", "python-backoff")
    session.run("pytest", "-m", HERE, *session.posargs, env=ENV)


@nox.session(python=OLDEST, tags=["environments"])
def uvloop(session: nox.Session) -> None:
    """Test on uvloop's event loop."""
    session.install(".[cli]", "uvloop", *group("tests"))
    session.run("pytest", "-m", HERE, *session.posargs, env=ENV | {"APIMALL_TEST_LOOP": "uvloop"})


@nox.session(python=OLDEST, tags=["environments"])
def rloop(session: nox.Session) -> None:
    """Test on rloop's event loop, without what needs a server to cut connections: its servers fail to."""
    session.install(".[cli]", "rloop", *group("tests"))
    client = [
        f"test_{one}.py" for one in ("client", "deadlines", "fetcher", "iteration", "pagination", "timeouts")
    ]
    server = [f"testing/test_gateway_{one}.py" for one in ("contract", "history", "images", "limits")]
    closing = "testing/test_gateway_life.py::test_start_and_close_may_be_called_twice"
    leaks = ["ResourceWarning", "pytest.PytestUnraisableExceptionWarning"]  # two sockets of each of its loops
    ignored = [option for kind in leaks for option in ("-W", f"ignore::{kind}")]
    chosen = [f"tests/{path}" for path in [*client, *server, closing]]
    session.run("pytest", *ignored, *chosen, *session.posargs, env=ENV | {"APIMALL_TEST_LOOP": "rloop"})


@nox.session(python=PYTHONS[1], tags=["environments"])
def eager(session: nox.Session) -> None:
    """Test with asyncio's eager tasks."""
    session.install(".[cli]", *group("tests"))
    session.run("pytest", "-m", HERE, *session.posargs, env=ENV | {"APIMALL_TEST_LOOP": "eager"})


@nox.session(python=OLDEST, tags=["environments"])
def bare(session: nox.Session) -> None:
    """Test the library without its extras, and that the command then says what to install."""
    session.install(".", *group("core"))
    for command in ["apimall"], ["python", "-m", "apimall_async"]:
        said = session.run(*command, success_codes=[2], silent=True, env=ENV)
        if "pip install 'apimall-async[cli]'" not in str(said):
            session.error(f"{command} said {said!r}")
    modules = ["ui/test_page_serving.py", "test_threats.py"]
    without = [f"--ignore=tests/{path}" for path in ["cli", "fuzz", "soak", "tools", *modules]]  # need more
    session.run("pytest", "-m", HERE, *without, *session.posargs, env=ENV)


@nox.session(python=OLDEST, tags=["environments"])
def sdist(session: nox.Session) -> None:
    """Test as a packager does: the sdist unpacked outside of the checkout, its wheel installed."""
    session.install("uv")
    build(session)
    archive, wheel = built()
    session.install(f"{wheel}[cli]", *group("tests"))
    shutil.unpack_archive(archive, session.create_tmp(), filter="data")
    session.chdir(Path(session.create_tmp()) / archive.name.removesuffix(".tar.gz"))
    session.run("pytest", "-m", HERE, *session.posargs, env=ENV)


@nox.session(name="release-check", python=OLDEST)
def release_check(session: nox.Session) -> None:
    """Build what would be published, and check it: ``-- v1.2.3`` also asks for what this tag promises.

    ``-- --built v1.2.3`` checks what is in dist/ already.
    """
    session.install(*group("release"))
    if Path(".git").exists():  # it compares the sdist with what is committed
        session.run("check-sdist", "--installer", "uv")
    if "--built" not in session.posargs:
        build(session)
    archive, wheel = built()
    session.run("twine", "check", "--strict", str(archive), str(wheel))
    session.run("check-wheel-contents", "--package", "apimall_async", str(wheel))
    session.install(str(wheel))
    tag = "".join(one for one in session.posargs if one != "--built")
    release = {"APIMALL_DIST": "dist", "APIMALL_TAG": tag}
    session.run("pytest", "tests/test_built.py", env=ENV | BUILD_ENV | release)
    # As a stranger gets it: in environments that hold nothing else.
    alone = ["uv", "run", "--isolated", "--no-project", "--python", f"{session.bin}/python", "--with"]
    session.run(*alone, str(wheel), "python", "-c", "import apimall_async.testing, apimall_async.ui", env=ENV)
    session.run(*alone, f"{wheel}[cli]", "apimall", "--version", env=ENV)
    session.run(*alone, f"{wheel}[cli]", "apimall", "history", "--demo", "--limit", "3", env=ENV)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style, metadata and workflows. ``nox -s lint -- --fix`` mends what can be mended."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if session.posargs else ["--check"]))
    session.run("validate-pyproject", "pyproject.toml")
    session.run("zizmor", "--offline", "--quiet", ".github")
    for schema, files in {"github-workflows": ".github/workflows", "dependabot": ".github"}.items():
        found = map(str, Path(files).glob("*.yml"))
        session.run("check-jsonschema", "--quiet", "--builtin-schema", f"vendor.{schema}", *found)


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
    session.run("pytest", "-m", "docs", *session.posargs, env=ENV)


@nox.session(python=OLDEST)
def fuzz(session: nox.Session) -> None:
    """Feed the protocol core what a coverage-guided fuzzer invents: ``nox -s fuzz -- --help``."""
    session.install(".[cli]", "-r", "tests/fuzz/requirements.txt")
    session.run("python", "tests/fuzz", *session.posargs)


@nox.session(python=OLDEST)
def soak(session: nox.Session) -> None:
    """Walk for long, under faults, births, deletions and cancellations: ``nox -s soak -- --help``."""
    session.install(".[cli]", "-r", "tests/soak/requirements.txt")
    session.run("python", "tests/soak", *session.posargs)


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """Measure: ``nox -s bench -- --help`` tells what, and how to choose. No target missed is a failure."""
    session.install(".[cli]", "-r", "tests/benchmarks/requirements.txt")
    session.run("python", "tests/benchmarks", *session.posargs)
