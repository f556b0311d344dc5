"""Whatever its arguments are, the command ends as its help says, and the key stays where it is."""

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async.cli import _app
from apimall_async.cli._app import apimall
from apimall_async.cli._errors import ExitCode
from apimall_async.testing import LocalGateway, sample_history


KEY = "sk-the-key-that-nobody-may-see"
LIMITED = {  # options whose values must not wait for long, leave this machine, or begin to serve
    "--retry-for": ["0", "-1", "86401", "9" * 5_000, "x"],
    "--timeout": ["1", "0", "9" * 5_000, "1e3", ""],
    "--port": ["-1", "65536", "9" * 5_000, "x", ""],
    "--items": ["0", "3", "-1", "9" * 20, "9" * 4_000, "9" * 5_000, "1e3"],
    "--base-url": [
        "http://127.0.0.1:1",
        "https://[::1]:1/\x1b[2J",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:1/" + "x" * 9_000,
        "http://user:password@127.0.0.1:1",
        "http://127.0.0.1:1?x=1",
        "http://gateway.example",
        "https://",
        "ftp://127.0.0.1",
        "",
    ],
}
JUNK = ["", " ", "-", "--", "-1", "0", "1", "50", "51", "1e3", "1e999", "-inf", "nan", "9" * 20, "9" * 4_000]
JUNK += ["9" * 5_000, "٣", "completed", "csv", "\x1b[2J\u202e", "%s%n{0}", "$(x)", "2026-03-12", "2026-W01-1"]
JUNK += ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "x" * 300, "tasks.jsonl", "t.csv", "t.PARQUET"]

# What a system passes on: no NUL, and bytes that are no UTF-8 as surrogates. No other folder than this.
texts = st.one_of(st.text(), st.binary().map(lambda some: some.decode("utf-8", "surrogateescape"))).map(
    lambda text: text.replace("\0", "").replace("/", "")
)
values = st.one_of(st.sampled_from(JUNK), texts, texts.map("{}.jsonl".format)).filter(
    lambda text: text != ".."
)


def arguments_of(command: click.Command) -> st.SearchStrategy[list[str]]:
    """Draw arguments: the command's own options, with values and without, among others."""
    options = [name for option in command.params for name in option.opts if name.startswith("-")]
    chunks = [
        *[st.tuples(st.just(name), st.sampled_from(LIMITED.get(name, JUNK))) for name in options],
        *[st.tuples(st.just(name), values) for name in options if name not in LIMITED],
        *[st.just((name,)) for name in options],
        st.tuples(values),
    ]
    return st.lists(st.one_of(chunks), max_size=5).map(
        lambda lists: [text for some in lists for text in some]
    )


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Run a gateway with a task that is named strangely."""
    first, *others = sample_history(3)
    tasks = [attrs.evolve(first, task_id="../../\0x"), *others]
    with pytest.MonkeyPatch.context() as patch, LocalGateway(tasks, api_key=KEY).in_thread() as gateway:
        patch.setattr(_app, "_discard_output", list)  # the runner's streams are no files
        yield gateway.url


def run(base_url: str, *arguments: str) -> Result:
    """Run the command against a gateway, and check how it ended."""
    result = CliRunner().invoke(
        apimall, arguments, prog_name="apimall", env={"APIMALL_API_KEY": KEY, "APIMALL_BASE_URL": base_url}
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in set(ExitCode)
    assert KEY not in result.output
    return result


@pytest.mark.parametrize("name", ["history", "export", "download", "gateway", "ui"])
@settings(max_examples=30)
@given(data=st.data())
def test_any_arguments(base_url: str, name: str, data: st.DataObject) -> None:
    """One of the exit codes of --help, no traceback, not the key; no file but where it was named."""
    arguments = data.draw(arguments_of(apimall.commands[name]), "arguments")
    # Ports that are taken end those that serve; nothing is tried again.
    taken = ["--port", base_url.rpartition(":")[2]] if name in {"gateway", "ui"} else ["--retry-for", "0"]
    with TemporaryDirectory() as outer:
        here = Path(outer, "inner", "here")
        here.mkdir(parents=True)
        with chdir(here):
            run(base_url, name, *taken, *arguments)
        assert list(Path(outer).iterdir()) == [here.parent]
        assert list(here.parent.iterdir()) == [here]
        named = [text.partition("/")[0] for text in arguments if text.rstrip(".")]  # "http:", of a URL
        if len(named) == len(arguments):  # "" and "." are names of the folder itself
            assert all(any(path.name.startswith(text) for text in named) for path in here.iterdir())


@pytest.mark.parametrize(
    "arguments", [["--items", "9" * 20], ["--rate", "1", "--burst", "9" * 400]], ids=["items", "burst"]
)
def test_numbers_beyond_all_use_are_wrong_usage(arguments: list[str]) -> None:
    """They were tracebacks once."""
    assert run("http://127.0.0.1:1", "gateway", *arguments).exit_code == ExitCode.USAGE


@settings(max_examples=20)
@given(st.lists(values, max_size=3))
def test_any_command(arguments: list[str]) -> None:
    """The same of what is no command at all."""
    assert run("http://127.0.0.1:1", *arguments).exit_code in {ExitCode.OK, ExitCode.USAGE}
