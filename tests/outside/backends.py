"""What stands behind the accounts: the servers that page by number, and the databases that they read."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from accounts import TASKS
from programs import Program, find


HERE = Path(__file__).parent


def missing() -> list[str]:
    """List what the tables need and is not installed."""
    packages = [package for package in ("duckdb", "psycopg", "pymysql") if not find_spec(package)]
    return packages + [program for program in ("initdb", "mariadbd") if not find(program)]


class Backends(Program):
    """A script of this folder, which serves the accounts of some back ends."""

    limit = 60.0  # it fills tables

    def __init__(self, home: Path, script: str, *arguments: object) -> None:
        """Take what the script needs to know besides its port."""
        super().__init__(home)
        self.command = [sys.executable, HERE / script, *map(str, (self.port, *arguments))]
        self.process_options = {"env": {**os.environ, "PYTHONPATH": str(HERE)}}


class JsonServer(Program):
    """json-server 1, with all the tasks that an account can have."""

    VERSION = "1.0.0-beta.15"

    def __init__(self, home: Path, node: Path, package: Path) -> None:
        """Take what runs it, and the folder in which npm has installed it."""
        super().__init__(home)
        tasks = [{"position": at, **json.loads(task.to_json())} for at, task in enumerate(TASKS)]
        (home / "data.json").write_text(json.dumps({"tasks": tasks}))
        self.command = [node, HERE / "json_server.mjs", package, home / "data.json", str(self.port)]


class Database(Program):
    """A server of Debian's, run by nobody if we are root, which neither of the two would be run by."""

    def __init__(self, home: Path) -> None:
        """Take a folder, and give it to who runs the server."""
        super().__init__(home)
        self.process_options = {"cwd": home}
        if os.geteuid() == 0:
            shutil.chown(home, "nobody", "nogroup")
            self.process_options |= {"user": "nobody", "group": "nogroup", "extra_groups": []}


class Postgresql(Database):
    """PostgreSQL, without what makes it safe against a power failure."""

    def __init__(self, home: Path) -> None:
        """Make an empty database."""
        super().__init__(home)
        initdb = ["initdb", "-D", "data", "--no-sync", "-A", "trust", "-U", "postgres", "--locale=C"]
        subprocess.run(
            [find(initdb[0]), *initdb[1:]], check=True, capture_output=True, **self.process_options
        )
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings = [f"--{name}={value}" for name, value in options.items()]
        self.command = [find("postgres") or "postgres", "-D", "data", "-p", str(self.port), *settings]

    def listens(self) -> bool:
        """Tell whether it lets anybody in, which is later than it listens."""
        ready = [find("pg_isready") or "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return not subprocess.run(ready, check=False).returncode


class Mariadb(Database):
    """MariaDB, with no users in it: it needs no tables of its own then."""

    def __init__(self, home: Path) -> None:
        """Use the folder as it is."""
        super().__init__(home)
        options = {"datadir": home, "port": self.port, "bind-address": "127.0.0.1", "socket": home / "socket"}
        settings = [f"--{name}={value}" for name, value in options.items()]
        self.command = [find("mariadbd") or "mariadbd", "--no-defaults", "--skip-grant-tables", *settings]


@contextmanager
def running(database: type[Database]) -> Iterator[int]:
    """Run a database, and yield its port. Its folder is not pytest's, into which nobody may look."""
    with tempfile.TemporaryDirectory(prefix="apimall-") as home, database(Path(home)) as server:
        yield server.port


@contextmanager
def tables(home: Path, accounts: int) -> Iterator[str]:
    """Run the databases, and yield the URL of that many accounts in their tables."""
    with (
        running(Postgresql) as postgresql,
        running(Mariadb) as mariadb,
        Backends(home, "tables.py", accounts, postgresql, mariadb) as backends,
    ):
        yield backends.url


@contextmanager
def paginators(home: Path, node: Path, json_server: Path) -> Iterator[str]:
    """Run what pages by number, and yield the URL of the accounts behind it."""
    with (
        JsonServer(home, node, json_server) as server,
        Backends(home, "paginators.py", server.url) as backends,
    ):
        yield backends.url
