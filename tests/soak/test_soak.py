"""The soak itself, in short: it runs, and sees what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from truth import BrokenPromiseError, Ledger, Promise


def test_a_short_soak() -> None:
    """It ends well, and reports promise by promise."""
    soak = [sys.executable, Path(__file__).parent, "--requests", "100", "--users", "1", "--scale", "0.1"]
    ran = subprocess.run(soak, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for promise in Promise:
        assert f"| {promise} | 0 |" in ran.stdout


@pytest.fixture
def ledger() -> Ledger:
    """Note six tasks: e was created late, b was deleted early, and d later."""
    ledger = Ledger()
    for task_id, created in {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 2.0, "f": 3.0}.items():
        ledger.note({"what": "created", "ids": [task_id], "from": created, "to": created})
    for task_id, deleted in {"b": 2.0, "d": 4.0}.items():
        ledger.note({"what": "deleted", "ids": [task_id], "from": deleted, "to": deleted})
    return ledger


@pytest.mark.parametrize("ids", ["dca", "edca", "dcba", "edcba", "dcab"])
def test_what_is_right(ledger: Ledger, ids: str) -> None:
    """From 1 to 3: a, c and d have to be yielded; what was created or deleted meanwhile may."""
    ledger.check_known(ids)
    ledger.check(ids, 1.0, 3.0, whole=True, ordered=True)


@pytest.mark.parametrize(
    ("ids", "promise"),
    [
        ("da", Promise.NONE_LOST),
        ("dc", Promise.NONE_LOST),
        ("", Promise.NONE_LOST),
        ("dcca", Promise.ONCE),
        ("dac", Promise.ORDER),
        ("dcax", Promise.APART),
    ],
)
def test_what_is_wrong(ledger: Ledger, ids: str, promise: Promise) -> None:
    """It is seen, and reported by the promise that it breaks."""
    with pytest.raises(BrokenPromiseError) as caught:
        ledger.check_known(ids)
        ledger.check(ids, 1.0, 3.0, whole=True, ordered=True)
    assert caught.value.promise == promise


def test_what_was_left_early_is_checked_up_to_there(ledger: Ledger) -> None:
    """An iteration that was left after c owes no a, but it owes d."""
    ledger.check("dc", 1.0, 3.0, whole=False, ordered=True)
    ledger.check("", 1.0, 3.0, whole=False, ordered=True)
    with pytest.raises(BrokenPromiseError):
        ledger.check("c", 1.0, 3.0, whole=False, ordered=True)
    ledger.check("c", 1.0, 3.0, whole=False, ordered=True, from_newest=False)


def test_when_tasks_were_only_created(ledger: Ledger) -> None:
    """Deletions at 2 and 4 count for whoever read then."""
    assert ledger.only_created(2.5, 3.5)
    assert not ledger.only_created(1.0, 3.0)
    assert not ledger.only_created(2.0, 3.0)
