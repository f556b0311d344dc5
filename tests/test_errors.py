"""Errors are values, too: they travel, and say what to do."""

import copy
import pickle
from pathlib import Path

import pytest

import apimall_async
from apimall_async import APIConnectionError, APIError, ApimallError, APIStatusError, AuthenticationError
from apimall_async._errors import _PYTHON_NAMES


ERRORS = [
    kind
    for name in apimall_async.__all__
    if isinstance(kind := getattr(apimall_async, name), type) and issubclass(kind, ApimallError)
]
EACH_ERROR = pytest.mark.parametrize("kind", ERRORS)
PACKAGE = Path(apimall_async.__file__).parent


def make(kind: type[ApimallError]) -> ApimallError:
    """Make an error with every fact it can carry."""
    if issubclass(kind, APIStatusError):
        return kind("no", status=429, retry_after=1.5, code="slow", request_id="req_1")
    if issubclass(kind, APIError):
        return kind("no", code="slow", request_id="req_1")
    return kind("no")


@EACH_ERROR
def test_an_error_travels(kind: type[ApimallError]) -> None:
    """Pickled, it keeps its class, its text and its facts, across processes too."""
    error = make(kind)
    error.hint = "check {base_url}"
    error.add_note("page 7")
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert twin.hint == "check base_url"
    assert str(copy.copy(error)) == str(error)


def test_an_error_says_what_to_do() -> None:
    """Its text holds what failed, the facts, and the next step."""
    error = AuthenticationError("Unauthorized", status=401, code="unauthorized", request_id="req_1")
    assert str(error) == (
        "Unauthorized (status=401, code=unauthorized, request_id=req_1); "
        "check the key given as api_key= or in APIMALL_API_KEY; keys are made at "
        "https://www.apimall.ai/api-keys"
    )
    assert str(APIError("no")) == "no"
    assert APIError("no").hint == ""


@EACH_ERROR
def test_a_hint_is_part_of_the_text(kind: type[ApimallError]) -> None:
    """Where the class has one: a program that prints the error alone says it, too."""
    error = make(kind)
    if isinstance(error, APIError) and error.hint:
        assert str(error).endswith(f"; {error.hint}")
    else:
        assert not error.hint


@EACH_ERROR
def test_a_front_end_names_things_its_own_way(kind: type[ApimallError]) -> None:
    """A command has options, not arguments: with its own names, a hint has none of Python's."""
    error = make(kind)
    names = {name: f"<{number}>" for number, name in enumerate(_PYTHON_NAMES)}
    hint = error.format_hint(**names)
    assert not [name for name in _PYTHON_NAMES.values() if name in hint]
    for name, own in names.items():
        hint = hint.replace(own, _PYTHON_NAMES[name])
    assert hint == error.hint
    assert error.format_hint() == error.hint


def test_one_name_of_its_own() -> None:
    """What is not given is called as in Python."""
    error = APIConnectionError("no")
    assert error.format_hint(base_url="--base-url") == "check the network, the proxy and --base-url"
    assert error.hint == "check the network, the proxy and base_url"


def test_the_hint_of_one_error() -> None:
    """It may say more than its class does, with the same names."""
    error = APIConnectionError("no")
    error.hint = "see {base_url} and {retry}"
    assert error.hint == "see base_url and RetryPolicy"
    assert error.format_hint(retry="--retries") == "see base_url and --retries"
    assert APIConnectionError("no").hint != error.hint


def test_hints_are_written_once() -> None:
    """Its class says what to do about an error, and no front end says it again."""
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    for kind in ERRORS:
        hint = kind._hint
        if hint and hint in vars(kind).values():
            named = [path.name for path, text in texts.items() if f'"{hint}"' in text]
            assert named == ["_errors.py"]


@pytest.mark.parametrize("field", ["message", "code", "request_id"])
def test_texts_of_the_gateway_are_one_printable_line(field: str) -> None:
    """They are untrusted: they control no terminal, and forge no line of a log."""
    texts = {"message": "no", "code": "no", "request_id": "no"} | {field: "a\x1b[2J\r\nb\u202ec\ud800"}
    error = APIError(**texts)
    assert str(error).isprintable()
    assert getattr(error, field) == "a\ufffd[2J b\ufffdc\ufffd"
