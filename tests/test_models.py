"""Tasks, pages and errors are values: they travel, compare and hash."""

import copy
import pickle

import pytest

import apimall_async
from apimall_async import APIError, ApimallError, APIStatusError, HistoryPage, ImageTask, TaskStatus
from apimall_async.testing import sample_history


PAGE = HistoryPage(tuple(sample_history(3)), 1, 20, "req_1")

ERRORS = [
    kind
    for name in apimall_async.__all__
    if isinstance(kind := getattr(apimall_async, name), type) and issubclass(kind, ApimallError)
]


@pytest.mark.parametrize("value", [PAGE, PAGE.items[0]], ids=["page", "task"])
def test_a_value_travels(value: HistoryPage | ImageTask) -> None:
    """Pickled, copied or deep-copied, it is equal and hashes the same."""
    for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert twin == value
        assert hash(twin) == hash(value)


def test_a_value_is_frozen() -> None:
    """No field can be set, none added."""
    for name in ("status", "mood"):
        with pytest.raises(AttributeError):
            setattr(PAGE.items[0], name, "x")


def test_status_is_open() -> None:
    """The known statuses compare equal to plain strings."""
    assert {TaskStatus.PENDING, TaskStatus.PROCESSING, TaskStatus.COMPLETED, TaskStatus.FAILED} == {
        "pending",
        "processing",
        "completed",
        "failed",
    }


def make(kind: type[ApimallError]) -> ApimallError:
    """Make an error with every fact it can carry."""
    if issubclass(kind, APIStatusError):
        return kind("no", status=429, retry_after=1.5, code="slow", request_id="req_1")
    if issubclass(kind, APIError):
        return kind("no", code="slow", request_id="req_1")
    return kind("no")


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_travels(kind: type[ApimallError]) -> None:
    """Pickled, it keeps its class, its text and its facts, across processes too."""
    error = make(kind)
    error.add_note("page 7")
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert str(copy.copy(error)) == str(error)


def test_an_error_says_what_to_do() -> None:
    """Its text holds what failed, the facts, and the next step."""
    error = apimall_async.AuthenticationError(
        "Unauthorized", status=401, code="unauthorized", request_id="req_1"
    )
    assert str(error) == (
        "Unauthorized (status=401, code=unauthorized, request_id=req_1); "
        "check the key given as api_key= or in APIMALL_API_KEY"
    )
    assert str(APIError("no")) == "no"
