"""What a hostile gateway sends never steers the terminal, the spreadsheet or rich."""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import pytest
from click.testing import Result
from hypothesis import example, given
from hypothesis import strategies as st

from apimall_async._untrusted import printable, printable_line
from apimall_async.cli._formats import FORMATS
from apimall_async.cli._text import in_local_zone
from apimall_async.testing import Fault, LocalGateway, sample_history


Run = Callable[..., Result]


EVIL = "\x1b[2J\x1b]0;pwned\x07\x9b31m\x7f\u202eevil\u2066\u2028\r\n[red]x[/red] :smile:"


def steering(text: str) -> list[str]:
    """Find what could steer a terminal, but for the newlines that end rows."""
    return [character for character in text if not character.isprintable() and character != "\n"]


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    """Whatever comes in, a terminal only prints what comes out; printable text is left alone."""
    assert printable(text).isprintable()
    assert printable_line(text).isprintable()
    assert text != printable(text) or text.isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize("form", FORMATS)
def test_no_field_steers_the_terminal(run: Run, gateway: LocalGateway, form: str) -> None:
    """Every text field of a task holds escapes; none of them reaches stdout."""
    fields: dict[str, Any] = dict.fromkeys(("model", "source", "status", "image_url"), EVIL)
    gateway.insert(attrs.evolve(gateway.tasks[0], task_id=f"img_{EVIL}", **fields))
    result = run("history", "--format", form, "--limit", "2")
    assert result.exit_code == 0
    assert steering(result.stdout) == []
    assert "evil" in result.stdout


@example("\x7f")
@given(st.text())
def test_json_loses_nothing(text: str) -> None:
    """The escaped text is, decoded, what the gateway sent."""
    task = attrs.evolve(sample_history(1)[0], model=text)
    for form in ("json", "jsonl"):
        rows = FORMATS[form](io.StringIO())
        line = rows.page([task]) + rows.end()
        assert steering(line) == []
        (written,) = json.loads(line) if form == "json" else [json.loads(line)]
        assert written["model"] == text


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_holds_no_formula(formula: str) -> None:
    """A spreadsheet takes it for text; numbers stay numbers."""
    task = attrs.evolve(sample_history(1)[0], model=formula, credits_used=-8)
    (row,) = csv.DictReader(io.StringIO(FORMATS["csv"](io.StringIO()).page([task])))
    assert row["model"] == "'" + printable(formula)
    assert row["credits_used"] == "-8"


def test_markup_is_shown_not_obeyed(run: Run, gateway: LocalGateway) -> None:
    """Rich's markup and emoji codes from the gateway are plain text."""
    gateway.update(attrs.evolve(gateway.tasks[0], model="[red]x[/red] :smile:"))
    assert "[red]x[/red] :smile:" in run("history", "--limit", "1").stdout


def test_error_messages_do_not_steer_either(run: Run, gateway: LocalGateway) -> None:
    """The gateway's message and code come as one printable line."""
    body = json.dumps(
        {"success": False, "error": {"code": EVIL, "message": f"no\n{EVIL}"}, "request_id": EVIL}
    )
    gateway.fault(Fault(status=401, body=body.encode()))
    result = run("history")
    assert steering(result.stderr) == []
    assert "pwned" in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_log_does_not_steer_either(run: Run, gateway: LocalGateway) -> None:
    """With -v the gateway's message may come by way of the log."""
    body = json.dumps({"success": False, "error": {"code": "x", "message": EVIL}})
    gateway.fault(Fault(status=500, body=body.encode()))
    log = run("history", "-v", "--limit", "1").stderr
    assert "pwned" in log
    assert steering(log) == []


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("form", FORMATS)
def test_times_beyond_the_calendar_are_shown_as_they_stand(year: str, form: str) -> None:
    """A year that another zone does not have is no crash."""
    moment = datetime.fromisoformat(year)
    task = attrs.evolve(sample_history(1)[0], created_at=moment)
    text = FORMATS[form](io.StringIO()).page([task])
    assert in_local_zone(moment) == moment
    assert year[:10].lstrip("0") in text
