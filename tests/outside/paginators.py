"""Page numbers as packages know them, each used as its documentation says, with its defaults.

Run as ``python paginators.py PORT JSON_SERVER``, the latter is the URL of a running json-server.
"""

import json
import sys
import urllib.parse
import urllib.request
from typing import Any

import django
import fastapi_pagination
import paginate
from accounts import TASKS, Account
from django.conf import settings
from django.core.paginator import Paginator
from django.test import RequestFactory
from envelope import Item, serve
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column


settings.configure()
django.setup()

from rest_framework.pagination import PageNumberPagination  # noqa: E402 - needs the settings
from rest_framework.request import Request  # noqa: E402


ITEMS: list[Item] = [json.loads(task.to_json()) for task in TASKS]
"""An account has as many of them as it is long."""


class Pages(PageNumberPagination):
    """Django REST framework's, with the contract's limit."""

    page_size_query_param = "limit"
    max_page_size = 50


def rest_framework(account: Account, page: int, limit: int) -> tuple[Any, int]:
    """Past the end: its NotFound, a 404."""
    pages = Pages()
    request = Request(RequestFactory().get("/", {"page": page, "limit": limit}))
    items = pages.paginate_queryset(ITEMS[: account.length], request)
    return items, pages.page.number


def get_page(account: Account, page: int, limit: int) -> tuple[Any, int]:
    """Django's own, past the end: the last page."""
    found = Paginator(ITEMS[: account.length], limit).get_page(page)
    return found.object_list, found.number


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
database = SQLAlchemy(app)


class Task(database.Model):
    """A row of Flask-SQLAlchemy's database."""

    position: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[Item] = mapped_column(JSON)


with app.app_context():
    database.create_all()
    database.session.add_all([Task(position=position, item=item) for position, item in enumerate(ITEMS)])
    database.session.commit()


def flask_sqlalchemy(account: Account, page: int, limit: int) -> tuple[Any, int]:
    """Past the end: abort(404)."""
    with app.app_context():
        tasks = database.select(Task).where(Task.position < account.length).order_by(Task.position)
        found = database.paginate(tasks, page=page, per_page=limit, max_per_page=50)
        return [task.item for task in found], found.page


def fastapi(account: Account, page: int, limit: int) -> tuple[Any, int]:
    """Past the end: an empty page."""
    found = fastapi_pagination.paginate(
        ITEMS[: account.length], fastapi_pagination.Params(page=page, size=limit)
    )
    return found.items, found.page


def pyramid(account: Account, page: int, limit: int) -> tuple[Any, int]:
    """Use ``paginate``, past the end: an empty page with the number of the last one."""
    found = paginate.Page(ITEMS[: account.length], page=page, items_per_page=limit)
    return found.items, found.page


def json_server(account: Account, page: int, limit: int) -> tuple[Any, int]:
    """Past the end: the last page. It has no number, but that of the one before it."""
    query = {"position:lt": account.length, "_page": page, "_per_page": limit}
    with urllib.request.urlopen(f"{sys.argv[2]}/tasks?{urllib.parse.urlencode(query)}") as response:
        found = json.load(response)
    items = [{name: value for name, value in it.items() if name != "position"} for it in found["data"]]
    return items, (found["prev"] or 0) + 1


if __name__ == "__main__":
    serve(
        {
            it.__name__: it
            for it in (rest_framework, get_page, flask_sqlalchemy, fastapi, pyramid, json_server)
        },
        int(sys.argv[1]),
    )
