"""What ``apimall history`` reads, chooses and writes."""

import csv
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from click.testing import Result

from apimall_async import ImageTask, __version__
from apimall_async.testing import Fault, LocalGateway


Run = Callable[..., Result]


IDS = slice(0, 30)


def ids(gateway: LocalGateway) -> list[str]:
    """List the ids in the history's order."""
    return [task.task_id for task in gateway.tasks]


def test_table_shows_every_task_whole_where_there_is_no_terminal(run: Run, gateway: LocalGateway) -> None:
    """Written elsewhere than to a terminal, every row has its id and its image, uncut."""
    result = run("history")
    title, *rows = result.stdout.splitlines()
    assert title.split() == ["task", "created", "status", "model", "credits", "refunded", "image"]
    assert [row[IDS] for row in rows] == ids(gateway)
    assert [row.split()[-1] for row in rows if "completed" in row] == [
        task.image_url for task in gateway.tasks if task.image_url
    ]


def test_totals_are_words_and_go_to_stderr(run: Run, gateway: LocalGateway) -> None:
    """The sums of what is shown are shown beside the rows, not among them."""
    used = sum(task.credits_used for task in gateway.tasks)
    back = sum(task.credits_refunded or 0 for task in gateway.tasks)
    assert run("history").stderr == (f"120 tasks, 3 pages, {used} credits used, {back} refunded\n")


def test_one_task_is_in_the_singular(run: Run, gateway: LocalGateway) -> None:
    """Counts agree with their nouns; no refund is not mentioned."""
    price = gateway.tasks[0].credits_used
    words = f"1 task, 1 page, {price} credits used\n"
    assert run("history", "--limit", "1").stderr == words


def test_limit_requests_no_more_than_it_needs(run: Run, gateway: LocalGateway) -> None:
    """Without a filter, five rows are one request of five."""
    result = run("history", "--limit", "5", "--format", "jsonl")
    assert [json.loads(line)["task_id"] for line in result.stdout.splitlines()] == ids(gateway)[:5]
    assert [(request.page, request.limit) for request in gateway.requests] == [(1, 5)]


def test_limit_counts_rows_that_match(run: Run, gateway: LocalGateway) -> None:
    """With a filter, pages are read until enough tasks matched, and then no more."""
    failed = [task.task_id for task in gateway.tasks if task.status == "failed"]
    result = run("history", "--status", "failed", "--limit", "4", "--page-size", "10", "-f", "jsonl")
    assert [json.loads(line)["task_id"] for line in result.stdout.splitlines()] == failed[:4]
    read = 10 * len(gateway.requests)
    assert failed[3] in ids(gateway)[read - 10 : read]
    assert result.stderr.startswith(f"4 tasks of {read} read, {len(gateway.requests)} pages")


def test_page_and_page_size_are_where_the_read_starts(run: Run, gateway: LocalGateway) -> None:
    """--page counts pages of --page-size tasks."""
    result = run("history", "--page", "3", "--page-size", "45", "--format", "jsonl")
    assert [json.loads(line)["task_id"] for line in result.stdout.splitlines()] == ids(gateway)[90:]


def test_filters_must_all_match(run: Run, gateway: LocalGateway) -> None:
    """Of one filter any value may match, of different ones all must."""
    result = run(
        *("history", "--format", "jsonl", "--status", "failed", "--status", "completed"),
        *("--model", "seedream-4", "--since", "2026-03-12T09:00Z"),
    )
    since = datetime(2026, 3, 12, 9, tzinfo=UTC)
    expected = [
        task.task_id
        for task in gateway.tasks
        if task.status in {"failed", "completed"} and task.model == "seedream-4" and task.created_at >= since
    ]
    assert expected
    assert [json.loads(line)["task_id"] for line in result.stdout.splitlines()] == expected


def test_since_does_not_trust_the_order(run: Run, gateway: LocalGateway) -> None:
    """A task behind an older one is found: the contract promises no order."""
    old, new = gateway.tasks[-1], gateway.tasks[0]
    ancient = attrs.evolve(old, task_id="img_ancient", created_at=old.created_at - timedelta(9))
    gateway.insert(ancient)
    result = run("history", "--since", new.created_at.isoformat(), "--format", "jsonl")
    assert json.loads(result.stdout)["task_id"] == new.task_id


def test_since_is_local_time_unless_it_has_an_offset(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times of the table are local, and so is --since."""
    monkeypatch.setenv("TZ", "UTC-5")  # five hours east
    time.tzset()
    try:
        here = run("history", "--since", "2026-03-12T14:20", "--format", "csv")
        table = run("history", "--limit", "1")
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
    assert here.stdout == run("history", "--since", "2026-03-12T09:20Z", "--format", "csv").stdout
    assert " 2026-03-12 14:30 " in table.stdout


@pytest.mark.parametrize("when", ["soon", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_since_must_be_a_time(run: Run, when: str) -> None:
    """Anything else is wrong usage, and named."""
    result = run("history", "--since", when, "--format", "csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no ISO 8601 date or time" in result.stderr


@pytest.mark.parametrize("arguments", [["--exact"], ["--read-ahead", "3"]])
def test_exact_iteration_shows_the_same(run: Run, gateway: LocalGateway, arguments: list[str]) -> None:
    """Plain and exact iteration show the history; exact takes requests that overlap."""
    result = run("history", "--format", "jsonl", *arguments)
    assert [json.loads(line)["task_id"] for line in result.stdout.splitlines()] == ids(gateway)
    assert (gateway.requests[1].page, gateway.requests[1].limit) == (2, 48)


def test_json_is_one_array_and_says_what_jsonl_says(run: Run, gateway: LocalGateway) -> None:
    """Names and values are the wire's, times in UTC, unset fields null, in both."""
    array = json.loads(run("history", "--format", "json").stdout)
    lines = run("history", "--format", "jsonl").stdout.splitlines()
    assert array == [json.loads(line) for line in lines]
    task = gateway.tasks[0]
    assert array[0] == {
        "task_id": task.task_id,
        "model": task.model,
        "source": task.source,
        "created_at": "2026-03-12T09:30:00.000Z",
        "status": "pending",
        "credits_used": task.credits_used,
        "image_url": None,
        "credits_refunded": None,
        "completed_at": None,
    }


def test_csv_has_a_header_and_empty_cells(run: Run, gateway: LocalGateway) -> None:
    """A spreadsheet reads the same fields; unset ones are empty."""
    rows = list(csv.DictReader(io.StringIO(run("history", "--format", "csv").stdout)))
    assert [row["task_id"] for row in rows] == ids(gateway)
    assert list(rows[0]) == [field.name for field in attrs.fields(ImageTask)]
    assert rows[0]["image_url"] == rows[0]["completed_at"] == ""


def test_microseconds_are_not_lost(run: Run, gateway: LocalGateway) -> None:
    """A time finer than a millisecond is written in full."""
    task = attrs.evolve(gateway.tasks[0], created_at=datetime(2026, 3, 12, 9, 30, 0, 1, tzinfo=UTC))
    gateway.update(task)
    line = run("history", "--limit", "1", "--format", "jsonl").stdout
    assert json.loads(line)["created_at"] == "2026-03-12T09:30:00.000001Z"


@pytest.mark.parametrize(
    ("form", "stdout"),
    [
        ("table", ""),
        ("json", "[]\n"),
        ("jsonl", ""),
        ("csv", ",".join(field.name for field in attrs.fields(ImageTask)) + "\n"),
    ],
)
@pytest.mark.parametrize("status", [[], ["--status", "lost"]])
def test_nothing_to_show_is_no_error(
    run: Run, gateway: LocalGateway, form: str, stdout: str, status: list[str]
) -> None:
    """An empty history, or one without a match, is a whole document, and stderr says so."""
    if not status:
        gateway.delete(*ids(gateway))
    result = run("history", "--format", form, *status)
    assert (result.exit_code, result.stdout) == (0, stdout)
    assert result.stderr.startswith("0 tasks of 120 read, 3 pages" if status else "no tasks\n")


def test_partial_json_is_no_whole_document(run: Run, gateway: LocalGateway) -> None:
    """After a failure the rows read so far are there, and the array is left open."""
    gateway.fault(Fault(), Fault.error(403))
    result = run("history", "--format", "json")
    assert result.exit_code == 3
    assert len(json.loads(result.stdout + "]")) == 50


@pytest.mark.parametrize("past_end", [404, "last", "last-as-requested", "null"])
@pytest.mark.parametrize("options", [(), ("--exact",), ("--read-ahead", "4")])
def test_a_history_that_fills_its_last_page(
    run: Run, monkeypatch: pytest.MonkeyPatch, past_end: Any, options: tuple[str, ...]
) -> None:
    """What the gateway sends behind it, be it a refusal, ends the read and is no error."""
    gateway = LocalGateway(100, past_end=past_end)
    monkeypatch.setenv("APIMALL_API_KEY", gateway.api_key)
    with gateway.in_thread():
        result = run("history", "--base-url", gateway.url, "--format", "jsonl", *options)
    assert result.exit_code == 0
    assert [json.loads(line)["task_id"] for line in result.stdout.splitlines()] == ids(gateway)


@pytest.mark.parametrize("option", ["--exact", "--read-ahead=4"])
def test_rows_that_are_hidden_do_not_end_an_exact_read(run: Run, gateway: LocalGateway, option: str) -> None:
    """A plain one ends at the first page that is not full."""
    gateway.hidden = {ids(gateway)[7]}
    shown = [one for one in ids(gateway) if one not in gateway.hidden]
    exact = run("history", "--format", "jsonl", option).stdout.splitlines()
    assert [json.loads(line)["task_id"] for line in exact] == shown
    plain = run("history", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["task_id"] for line in plain] == shown[:49]


def test_demo_needs_neither_key_nor_network(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--demo reads its own gateway, whatever the environment says."""
    monkeypatch.delenv("APIMALL_API_KEY")
    result = run("history", "--demo", "--format", "jsonl")
    tasks = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(tasks) == 240
    assert {"pending", "completed", "failed"} <= {task["status"] for task in tasks}
    assert any(task["image_url"] for task in tasks)
    assert result.stderr.endswith("refunded (demo)\n")
    assert gateway.requests == []


def test_base_url_goes_before_the_environment(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option names the gateway, too."""
    monkeypatch.setenv("APIMALL_BASE_URL", "http://127.0.0.1:1")
    assert run("history", "--base-url", gateway.url, "--limit", "1").exit_code == 0


def test_verbose_shows_the_library_s_log(run: Run, gateway: LocalGateway) -> None:
    """Retries and totals are logged on stderr, and without -v they are not."""
    gateway.fault(Fault.error(500))
    log = run("history", "-v", "--limit", "1").stderr
    assert "apimall: retry 2 of 8 in 0." in log
    assert "apimall: iteration ended" in log
    assert len(run("history", "--limit", "1").stderr.splitlines()) == 1


def test_help_and_version(run: Run) -> None:
    """Help shows the exit codes, the key and the examples; a blank line is no part of the version."""
    assert "APIMALL_API_KEY" in run("--help").stdout
    assert "130  Ctrl-C" in run("-h").stdout
    assert "jq -r .image_url" in run("history", "--help").stdout
    assert "--retry-after" in run("gateway", "--help").stdout
    assert run("--version").stdout == f"apimall {__version__}\n"
