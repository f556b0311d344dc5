"""Histories in databases, ``ORDER BY created_at DESC``, and nothing says how tasks of one time are ordered.

Run as ``python tables.py PORT ACCOUNTS POSTGRESQL MARIADB``: how many accounts, and where the two listen.
"""

import json
import sqlite3
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

import duckdb
import psycopg
import pymysql
from accounts import LENGTHS, Account, batches
from envelope import Item, serve


CREATE = """
    CREATE TABLE {table} (
        task_id VARCHAR(40) PRIMARY KEY,
        account INTEGER NOT NULL,
        created_at TIMESTAMP(3) NOT NULL,
        item VARCHAR(500) NOT NULL
    )
"""
INDEX = "CREATE INDEX index_of_{table} ON {table} ({columns})"
INSERT = "INSERT INTO {table} VALUES {rows}"
SELECT = """
    SELECT item FROM {table} WHERE account = {account}
    ORDER BY created_at DESC LIMIT {limit} OFFSET {offset}
"""


def make_rows(lengths: Iterable[int]) -> list[str]:
    """Make the rows of a table, oldest first, so that the accounts are mixed."""
    tasks = [(task.created_at, length, task) for length in lengths for task in batches(length)]
    return [
        f"('{task.task_id}', {length}, '{moment:%Y-%m-%d %H:%M:%S.%f}', '{task.to_json()}')"
        for moment, length, task in sorted(tasks, key=lambda it: it[:2])
    ]


def fill(connection: Any, table: str, rows: list[str], index: str = "account") -> None:
    """Create a table of these rows, with an index."""
    cursor = connection.cursor()
    cursor.execute(CREATE.format(table=table))
    for start in range(0, len(rows), 500):
        cursor.execute(INSERT.format(table=table, rows=", ".join(rows[start : start + 500])))
    cursor.execute(INDEX.format(table=table, columns=index))


def read(connection: Any, account: Account, page: int, limit: int) -> tuple[list[Item], int]:
    """Read a page of an account, from the table that is called as its back end."""
    query = {
        "table": account.backend,
        "account": account.length,
        "limit": limit,
        "offset": (page - 1) * limit,
    }
    cursor = connection.cursor()
    cursor.execute(SELECT.format(**query))
    return [json.loads(item) for (item,) in cursor.fetchall()], page


def main() -> None:
    """Fill the tables, and serve them."""
    port, accounts, at_postgresql, at_mariadb = map(int, sys.argv[1:])
    rows = make_rows(LENGTHS[:accounts])
    sqlite, duck = sqlite3.connect(":memory:"), duckdb.connect()
    postgresql = psycopg.connect(host="127.0.0.1", port=at_postgresql, user="postgres", autocommit=True)
    mariadb = pymysql.connect(host="127.0.0.1", port=at_mariadb, user="root", autocommit=True)
    mariadb.cursor().execute("CREATE DATABASE history")
    mariadb.select_db("history")
    fill(sqlite, "sqlite", rows)
    fill(duck, "duckdb", rows)
    fill(mariadb, "mariadb", rows)
    fill(postgresql, "postgresql", rows)
    fill(postgresql, "postgresql_indexed", rows, "account, created_at")
    postgresql.execute("ANALYZE")  # else its plans change as it finds out what is in the tables
    connections = {
        "sqlite": sqlite,
        "duckdb": duck,
        "postgresql": postgresql,
        "postgresql_indexed": postgresql,
        "mariadb": mariadb,
    }
    serve({name: partial(read, connection) for name, connection in connections.items()}, port)


if __name__ == "__main__":
    main()
