"""docs/examples/many_accounts.py on a real cluster of Dask's: processes, one of which is killed."""

import asyncio
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apimall_async import AsyncClient, HistoryPage, RateLimitError, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


distributed = pytest.importorskip("distributed", reason="the dependency group `accounts` is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.docs

PROGRAM = Path(__file__).parent.parent / "docs" / "examples" / "many_accounts.py"
SIZES = {f"account-{number:02}": 40 * number for number in range(12)}
BATCHES = list(SIZES)[:8], list(SIZES)[8:]
SECONDS = 120  # that a run may take at most


class Agency:
    """A gateway with accounts, and the files that the program takes."""

    def __init__(self, gateway: LocalGateway, directory: Path) -> None:
        self.gateway = gateway
        self.names = directory / "accounts.txt"
        self.keys = directory / "keys"
        self.histories = directory / "histories"
        self.keys.mkdir()
        self.histories.mkdir()
        self.names.write_text("\n".join(SIZES))
        for name in SIZES:
            self.put_key(name, key_of(name))

    def put_key(self, name: str, key: str, mode: int = 0o600) -> None:
        """Keep an account's key."""
        (self.keys / name).write_text(f"{key}\n")
        (self.keys / name).chmod(mode)

    @contextmanager
    def program(self, *options: str) -> "Iterator[subprocess.Popen[str]]":
        """Run the program as a user does."""
        command = [sys.executable, PROGRAM, self.names, self.keys, self.histories, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            try:
                yield program
            finally:
                program.kill()

    def begun(self) -> Counter[str]:
        """Count how often each account was begun with."""
        keys = [one.headers["Authorization"].split()[1] for one in self.gateway.requests if one.page == 1]
        return Counter(key.removeprefix(key_of("")) for key in keys)

    def check_files(self, *but: str) -> None:
        """The files hold exactly each account's tasks, in order; there is no other file."""
        files = {path.name: path for path in self.histories.iterdir()}
        assert files.keys() == {f"{name}.parquet" for name in SIZES if name not in but}
        for name in SIZES.keys() - set(but):
            tasks = self.gateway.accounts[key_of(name)].tasks
            columns = parquet.read_table(files[f"{name}.parquet"]).to_pydict()
            assert columns["task_id"] == [task.task_id for task in tasks]
            assert columns["created_at"] == [task.created_at for task in tasks]
            assert columns["image_url"] == [task.image_url for task in tasks]
            assert columns["credits_refunded"] == [task.credits_refunded for task in tasks]


def key_of(name: str) -> str:
    """Make the key of an account."""
    return f"sk-secret-{name}"


@pytest.fixture(scope="module")
def gateway() -> Iterator[LocalGateway]:
    """Run a gateway of a dozen accounts."""
    with LocalGateway(
        0, accounts={key_of(name): size for name, size in SIZES.items()}
    ).in_thread() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def cluster(gateway: LocalGateway) -> Iterator[Any]:
    """Run a scheduler and two workers, processes of one thread each, and talk to them."""
    environment = {"APIMALL_BASE_URL": gateway.url}
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", env=environment
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def agency(gateway: LocalGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agency]:
    """Put the accounts' keys into files, and the gateway into the environment."""
    monkeypatch.setenv("APIMALL_BASE_URL", gateway.url)
    yield Agency(gateway, tmp_path)
    gateway.requests.clear()
    gateway._rules.clear()


def test_every_account_is_read(agency: Agency) -> None:
    """This machine is the cluster. What cannot be read is listed, with the reason, and stops no other."""
    agency.put_key("account-03", "sk-revoked")
    agency.put_key("account-10", key_of("account-10"), mode=0o644)
    agency.gateway.fault(Fault.error(429, retry_after=0.1), Fault.reset(), Fault.html(502))
    with agency.program("--workers", "2") as program:
        out, err = program.communicate(timeout=SECONDS)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert list(lines) == list(SIZES), err
    assert "AuthenticationError: " in lines.pop("account-03")
    assert "PermissionError: others may read" in lines.pop("account-10")
    assert {name: line.split()[1] for name, line in lines.items()} == {
        name: str(SIZES[name]) for name in lines
    }
    assert all(line.endswith("  ok") for line in lines.values())
    assert program.returncode == 1
    assert "sk-" not in out + err
    agency.check_files("account-03", "account-10")


async def read(key: str, retry: RetryPolicy) -> HistoryPage:
    """Read a page; Dask awaits it in the worker's own loop."""
    async with AsyncClient(key, retry=retry) as client:
        return await client.list_history()


def test_what_a_worker_is_given_returns_and_raises(agency: Agency, cluster: Any) -> None:
    """A policy goes there and holds; pages and errors come back as they were."""
    key, policy = key_of("account-07"), RetryPolicy(max_tries=2, wait_initial=0.01)
    agency.gateway.fault(Fault.error(500))
    page = cluster.submit(read, key, policy, pure=False).result(SECONDS)
    assert list(page.items) == agency.gateway.accounts[key].tasks[:20]
    agency.gateway.fault(Fault.error(500), Fault.error(429, retry_after=7000))
    with pytest.raises(RateLimitError) as caught:
        cluster.submit(read, key, policy, pure=False).result(SECONDS)
    assert (caught.value.status, caught.value.retry_after) == (429, 7000)
    assert caught.value.request_id
    assert [request.status for request in agency.gateway.requests] == [500, 200, 500, 429]


def run_and_kill(agency: Agency, cluster: Any) -> "tuple[int, str]":
    """Run the program, kill a worker while both are in the middle of their accounts, and see how it ends."""
    killed = threading.Event()

    @agency.gateway.rule
    async def hold(request: RecordedRequest) -> None:
        while request.page != 1 and not killed.is_set():
            await asyncio.sleep(0.01)

    cluster.wait_for_workers(2, timeout=SECONDS)  # one may have been killed a moment ago
    with agency.program("--scheduler", cluster.scheduler.address) as program:
        until = time.monotonic() + SECONDS
        while len(agency.begun()) < len(SIZES):
            assert program.poll() is None, program.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        whole = {path.stem for path in agency.histories.glob("*.parquet")}
        assert whole <= {name for name, size in SIZES.items() if size <= 50}  # the others wait for more
        os.kill(next(iter(cluster.run(os.getpid).values())), signal.SIGKILL)
        killed.set()
        out, err = program.communicate(timeout=SECONDS)
    assert len(out.splitlines()) == len(SIZES), out + err
    return program.returncode, out


def clear_up(agency: Agency) -> set[str]:
    """Delete what a killed worker had no time to, and return the accounts that it was of."""
    left = list(agency.histories.glob("*.part"))
    for path in left:
        path.unlink()
    return {path.name.partition(".")[0] for path in left}


def test_a_worker_that_is_killed(agency: Agency, cluster: Any) -> None:
    """Another reads its accounts anew, the others' are read once, and all is whole."""
    assert run_and_kill(agency, cluster)[0] == 0
    again = [name for name, times in sorted(agency.begun().items()) if times == 2]
    assert again in BATCHES
    assert set(agency.begun().values()) == {1, 2}
    assert clear_up(agency) <= set(again)
    agency.check_files()


def test_accounts_that_kill_workers(agency: Agency, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask gives up a batch that has ended several workers: that is reported, and stops no other."""
    monkeypatch.setattr(cluster.cluster.scheduler, "allowed_failures", 0)
    code, out = run_and_kill(agency, cluster)
    assert code == 1
    lost = [line.split()[0] for line in out.splitlines() if "KilledWorker: " in line]
    assert lost in BATCHES
    assert clear_up(agency) <= set(lost)
    done = [path.stem for path in agency.histories.iterdir()]  # of the lost perhaps some, whole too
    agency.check_files(*set(lost) - set(done))


def test_two_workers_for_the_same_accounts(agency: Agency) -> None:
    """As when Dask gave a worker up that lives: each writes for itself, and the files are whole."""
    program = runpy.run_path(str(PROGRAM), run_name="example")
    job = program["Job"](agency.keys, agency.histories, RetryPolicy())
    with ThreadPoolExecutor(2) as workers:
        one, other = workers.map(program["read_batch"], [list(SIZES)] * 2, [job] * 2)
    assert one == other
    assert [(summary.tasks, summary.error) for summary in one] == [(size, None) for size in SIZES.values()]
    agency.check_files()
