"""The papers agree on what is supported, and the workflows run what they say."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOXFILE = ast.parse((ROOT / "noxfile.py").read_text())
RELEASES = (ROOT / "docs" / "releases.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def constant(name: str) -> Any:
    """Read a constant of noxfile.py."""
    for node in NOXFILE.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


def sessions() -> Iterator[str]:
    """List the sessions of noxfile.py."""
    for node in NOXFILE.body:
        calls = [one for one in getattr(node, "decorator_list", ()) if isinstance(one, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) == "nox.session":
                names = [one.value for one in call.keywords if one.arg == "name"]
                yield ast.literal_eval(names[0]) if names else node.name


def jobs(workflow: str) -> dict[str, str]:
    """Split a workflow into its jobs."""
    text = (ROOT / ".github" / "workflows" / workflow).read_text().partition("\njobs:\n")[2]
    return dict(re.findall(r"^  ([\w-]+):.*\n((?:    .*\n|\n)+)", text, re.MULTILINE))


SESSIONS = list(sessions())
PYTHONS = constant("PYTHONS")


def test_the_papers_agree_on_the_pythons() -> None:
    """Tests, metadata and documentation name the same, and the oldest is what the metadata requires."""
    prefix = "Programming Language :: Python :: "
    classifiers = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)]
    (row,) = re.findall(r"^\| Python \| (.+?) \|", RELEASES, re.MULTILINE)
    assert [one for one in classifiers if re.fullmatch(r"3\.\d+", one)] == PYTHONS
    assert row.split(", ") == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    for page in ("README.md", "CONTRIBUTING.md", "docs/index.md"):
        assert f"Python {PYTHONS[0]} or newer" in (ROOT / page).read_text(), page


def test_the_papers_agree_on_the_dependencies() -> None:
    """Each has its lower bound in the table of supported versions, and no upper bound."""
    extras = [need for name in PROJECT["optional-dependencies"].values() for need in name]
    needs = {}
    for need in PROJECT["dependencies"] + extras:
        found = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)(?:; .+)?", need)
        assert found, f"{need} has another bound than a lower one"
        needs[found[1]] = found[2]
    assert dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+) or newer \|", RELEASES, re.MULTILINE)) == needs


def test_every_session_is_in_the_table() -> None:
    """CONTRIBUTING.md tells what each does, and names none that is gone."""
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", CONTRIBUTING, re.MULTILINE)) == sorted(SESSIONS)


def test_the_workflows_run_sessions_that_there_are() -> None:
    """On every Python, and between them all but those that are for one's own hands."""
    texts = [path.read_text() for path in WORKFLOWS]
    listed = [one.split(", ") for text in texts for one in re.findall(r"session: \[(.+)\]", text)]
    named = [one for text in texts for one in re.findall(r" -s ([a-z-]+[a-z])", text)]
    by_hand = {"bench", "fuzz", "soak"}
    assert {*named, *(one for many in listed for one in many)} == set(SESSIONS) - by_hand
    for text in texts:
        for pythons in re.findall(r"python: \[(.+)\]|python-version: \|.*\n((?: +[\d.]+\n)+)", text):
            assert sorted(re.findall(r"3\.\d+", "".join(pythons))) == sorted(PYTHONS)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflows_hold_no_more_rights_than_they_need(workflow: Path) -> None:
    """None at the top; each job says its own; what others wrote is pinned to a commit; no key is stored."""
    text = workflow.read_text()
    assert "\npermissions: {}\n" in text
    assert jobs(workflow.name)
    assert [name for name, job in jobs(workflow.name).items() if "    permissions:\n" not in job] == []
    uses = re.findall(r"uses: (?!\./)(\S+)(.*)", text)
    assert [one for one in uses if not re.fullmatch(r".+@[0-9a-f]{40} # v\d+\.\d+\.\d+", "".join(one))] == []
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert "secrets." not in text
    writes = dict.fromkeys(re.findall(r"([\w-]+): write", text))
    assert list(writes) == (["id-token", "attestations"] if workflow.name == "release.yml" else [])


def test_a_release_is_built_alone_with_pinned_tools() -> None:
    """From a commit of main; each tool has one version and hashes, and what the build needs is among them."""
    build = jobs("release.yml")["build"]
    runs = re.findall(r"run: (.+)", build)
    assert runs[:3] == [
        'git merge-base --is-ancestor "$GITHUB_SHA" origin/main',
        'python -m pip install --require-hashes --only-binary=":all:" -r .github/build-requirements.txt',
        "python -m build --no-isolation",
    ]
    assert [run for run in runs[3:] if not run.startswith('echo "digests=')] == []
    text = (ROOT / ".github" / "build-requirements.txt").read_text()
    pins = re.findall(
        r"^([\w-]+)==[\d.]+(?: ;.+)? (?:\\\n    --hash=sha256:[0-9a-f]{64} ?)+$", text, re.MULTILINE
    )
    assert len(pins) == len(re.findall(r"^\w", text, re.MULTILINE))
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {re.split("[<>=]", need)[0] for need in needs} < set(pins)


def test_what_is_published_is_what_was_built_and_checked() -> None:
    """Both later jobs compare all files with the digests of the build, and neither builds anew."""
    release = jobs("release.yml")
    assert list(release) == ["checks", "build", "check", "publish"]
    assert "needs: [checks, build, check]" in release["publish"]
    for name, first_use in {"check": "run: python -m nox", "publish": "uses: actions/attest@"}.items():
        job = release[name]
        compare = job.index('run: test "$(sha256sum -- * | base64 --wrap=0)" = "$DIGESTS"')
        assert job.index("uses: actions/download-artifact@") < compare < job.index(first_use)
        assert "DIGESTS: ${{ needs.build.outputs.digests }}" in job
    assert "release-check -- --built " in release["check"]
    assert "checkout" not in release["publish"]


def test_one_commit_for_each_action() -> None:
    """The workflows use the same version of what they share."""
    pins = re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", "".join(path.read_text() for path in WORKFLOWS))
    assert len(set(pins)) == len({action for action, _ in pins})
