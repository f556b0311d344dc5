"""docs/openapi.yaml says what the vendor's page says, what LocalGateway does, and what the client reads.

schemathesis holds the gateway to the document. Turned around, it makes responses by the document, and the
client has to read every one.
"""

import json
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from contract import ERROR, EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async import (
    APIError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    HistoryPage,
    ImageTask,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from apimall_async._contract import HISTORY_PATH
from apimall_async.testing import Fault, LocalGateway, RateLimit


schemathesis = pytest.importorskip("schemathesis", reason="needs the Python package schemathesis")
FailureGroup = pytest.importorskip("schemathesis.core.failures").FailureGroup
openapi = pytest.importorskip("schemathesis.specs.openapi.checks")
jsonschema_rs = pytest.importorskip("jsonschema_rs")  # schemathesis brings them both
yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.outside

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"
DOCUMENT = yaml.safe_load(FILE.read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
GET = DOCUMENT["paths"][HISTORY_PATH]["get"]
OPERATION = schemathesis.openapi.from_dict(DOCUMENT)[HISTORY_PATH]["GET"]
CONFORMANCE = [
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]

# The vendor's tables, to the letter: *Response Parameters* and *Error Codes*.
VENDORS_FIELDS = """
success | boolean | Whether the request completed successfully.
data.items | array | List of items returned for the current page.
data.items[].task_id | string | Task identifier for a historical generation record.
data.items[].model | string | Model used for the historical task.
data.items[].source | string | Internal source/provider family that fulfilled the historical task.
data.items[].created_at | string | Creation timestamp for the historical task.
data.items[].status | string | Status value for the historical resource or task.
data.items[].image_url | string | Hosted image URL for a historical image or audio-cover result.
data.items[].credits_used | integer | Credits charged for the historical task.
data.items[].credits_refunded | integer | Credits refunded for the historical task, if any.
data.items[].completed_at | string | Completion timestamp for the historical task when available.
data.page | integer | Current page number in the paginated response.
data.limit | integer | Maximum number of items returned per page.
request_id | string | Request identifier for debugging and support.
"""
VENDORS_STATUSES = """
200 | Request successful
401 | API key required or invalid API key
403 | API access not approved or request made on a non-gateway host
404 | Resource not found
429 | Rate limit exceeded
500 | Internal server error
"""
ERRORS = {
    400: APIStatusError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    500: InternalServerError,
}


# The document.


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, if it is one."""
    reference = schema.get("$ref")
    return SCHEMAS[reference.rpartition("/")[2]] if reference else schema


def field(path: str) -> dict[str, Any]:
    """Find the schema of a field by the vendor's way to name it."""
    schema = SCHEMAS["History"]
    for name in path.split("."):
        schema = resolve(schema["properties"][name.removesuffix("[]")])
        if name.endswith("[]"):
            schema = resolve(schema["items"])
    return schema


def rows(table: str) -> list[list[str]]:
    """Split a table."""
    return [line.split(" | ") for line in table.strip().splitlines()]


def examples() -> list[Any]:
    """List each example of a response, with the name of its schema."""
    found = []
    for status, response in GET["responses"].items():
        content = response["content"]["application/json"]
        named = content.get("examples") or {"the": {"value": content["example"]}}
        name = content["schema"]["$ref"].rpartition("/")[2]
        found += [pytest.param(name, it["value"], id=f"{status}-{key}") for key, it in named.items()]
    return found


def test_it_is_a_valid_document() -> None:
    """By OpenAPI 3.1's own schema; and its schemas by JSON Schema's."""
    OPERATION.schema.validate()
    for schema in [*SCHEMAS.values(), *(parameter["schema"] for parameter in GET["parameters"])]:
        jsonschema_rs.meta.validate(schema)


@pytest.mark.parametrize(("name", "example"), examples())
def test_its_examples_conform(name: str, example: Any) -> None:
    """Each to the schema that it is an example of."""
    check_example(name, example)


def check_example(name: str, example: Any) -> None:
    """Raise an error for a response that does not conform, whatever gateway and client make of it."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema_rs.validate(schema, example, validate_formats=True)


def test_its_first_examples_are_the_vendors() -> None:
    """To the letter, because mocks respond with them."""
    found = {case.id: case.values[1] for case in examples()}
    assert found["200-vendor"] == json.loads(EXAMPLE)
    assert found["401-the"] == json.loads(ERROR)


def test_its_fields_are_the_vendors() -> None:
    """Names, types and words; none is missing, and none is invented."""
    for path, kind, words in rows(VENDORS_FIELDS):
        schema = field(path)
        assert kind in (schema["type"], schema["type"][0]), path
        assert schema["description"].startswith(words.rstrip(".")), path
    paths = {path for path, _, _ in rows(VENDORS_FIELDS)}
    assert {f"data.items[].{name}" for name in SCHEMAS["ImageTask"]["properties"]} < paths
    assert {f"data.{name}" for name in field("data")["properties"]} < paths
    assert set(SCHEMAS["History"]["properties"]) - {"data"} < paths


def test_its_statuses_are_the_vendors() -> None:
    """With the vendor's words; one entry more stands for those that the page does not name."""
    for status, words in rows(VENDORS_STATUSES):
        assert GET["responses"][status]["description"].startswith(words)
    assert set(GET["responses"]) == {status for status, _ in rows(VENDORS_STATUSES)} | {"4XX"}


def test_its_tasks_are_the_clients() -> None:
    """What the client requires is required, what it takes null for may be null, and no field more."""
    task = SCHEMAS["ImageTask"]
    fields = [field for field in attrs.fields(ImageTask) if field.name != "extra"]
    assert set(task["properties"]) == {field.name for field in fields}
    assert set(task["required"]) == {field.name for field in fields if field.default is attrs.NOTHING}
    spelled = {str: "string", int: "integer", datetime: "string", type(None): "null"}
    for field in fields:
        schema = task["properties"][field.name]
        kinds = get_args(field.type) or (field.type,)
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        assert [spelled[kind] for kind in kinds] == types
        assert (datetime in kinds) == (schema.get("format") == "date-time")


# The gateway.


def run_schemathesis(gateway: LocalGateway, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Let it send a gateway whatever it can make up, with all its checks."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", FILE, "--url", gateway.url, "--no-color"),
            *("--header", f"Authorization: Bearer {gateway.api_key}", "--generation-database", "none"),
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        check=False,
    )


def test_schemathesis_finds_no_fault_with_the_gateway(tmp_path: Path) -> None:
    """Every response conforms, none is a 5xx; good data is taken, and bad data, keys and methods are not."""
    with LocalGateway(120).in_thread() as gateway:
        run = run_schemathesis(gateway, tmp_path, "--max-examples", "300")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No issues found" in run.stdout
    statuses = Counter(request.status for request in gateway.requests)
    assert set(statuses) >= {200, 400, 401, 405}
    assert min(statuses[200], statuses[400]) > 50  # it did try both good and bad data


def test_schemathesis_finds_a_fault(tmp_path: Path) -> None:
    """In a gateway that responds 200 to every request."""
    with LocalGateway(1).in_thread() as gateway:
        good = EXAMPLE.replace(b'"limit": 20', b'"limit": 51')
        gateway.rule(lambda _: Fault(body=good))
        run = run_schemathesis(gateway, tmp_path, "--max-examples", "20", "--continue-on-failure")
    assert run.returncode == 1, run.stdout
    kinds = {
        "ST401": "wants no key",
        "ST201": "takes any limit",
        "ST204": "takes any method",
        "ST108": "responds with a limit of 51",
    }
    assert [kind for kind in kinds if kind not in run.stdout] == []


def request(gateway: LocalGateway, query: dict[str, Any] | None = None, **headers: str) -> Any:
    """Send what the document describes; return a response that conforms to it.

    Raises:
        schemathesis.errors.FailureGroup: it does not, in status, type, headers or body.

    """
    case = OPERATION.Case(query=query or {})
    headers = {"Authorization": f"Bearer {gateway.api_key}"} | headers
    return case.call_and_validate(base_url=gateway.url, headers=headers, checks=CONFORMANCE)


def test_every_response_of_the_gateway_conforms() -> None:
    """Whatever its status; and its errors are those of the examples."""
    with LocalGateway(120).in_thread() as gateway:
        responses = [
            request(gateway),
            request(gateway, {"page": 7, "limit": 20}),
            request(gateway, {"limit": 51}),
            request(gateway, Authorization="Bearer sk-wrong"),
        ]
        for status in (403, 404, 500):
            gateway.fault(Fault.error(status))
            responses.append(request(gateway))
        for wait in (None, 0.5):
            gateway.rate_limit = RateLimit(1e-9, 0, wait)
            responses.append(request(gateway))
    statuses = [response.status_code for response in responses]
    assert statuses == [200, 200, 400, 401, 403, 404, 500, 429, 429]
    errors = [case.values[1]["error"] for case in examples() if case.values[0] == "Failure"]
    assert all(response.json()["error"] in errors for response in responses[2:])


WRONG_RESPONSES = {
    "a field is missing": Fault(body=EXAMPLE.replace(b'"source": "gempix2",', b"")),
    "null where there has to be a value": Fault(body=EXAMPLE.replace(b'"completed"', b"null")),
    "a text for a number": Fault(body=EXAMPLE.replace(b'"credits_used": 8', b'"credits_used": "8"')),
    "no timestamp": Fault(body=EXAMPLE.replace(b"T09:30:00.000Z", b"")),
    "a failure that succeeded": Fault(body=ERROR),
    "a success that failed": Fault(status=401, body=EXAMPLE),
    "a status that is not there": Fault.error(302),
    "HTML": Fault.html(200),
}


@pytest.mark.parametrize("fault", WRONG_RESPONSES.values(), ids=WRONG_RESPONSES.keys())
def test_a_response_that_does_not_conform_is_seen(fault: Fault) -> None:
    """The checks above can fail."""
    with LocalGateway(1).in_thread() as gateway:
        gateway.fault(fault)
        with pytest.raises(FailureGroup):
            request(gateway)


# The client.


def bodies(name: str) -> st.SearchStrategy[Any]:
    """Make responses by one of the document's schemas.

    schemathesis makes requests. So this is what it would send to where the schema is that of a request.
    """
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    operation = {
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "turned around"}},
    }
    turned = {key: DOCUMENT[key] for key in ("openapi", "info", "components")}
    schema = schemathesis.openapi.from_dict({**turned, "paths": {"/": {"post": operation}}})
    strategy = schema["/"]["POST"].as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    return strategy.map(lambda case: spell_whole(case.body))


def spell_whole(value: Any) -> Any:
    """Spell 8.0, which JSON Schema takes for an integer, as the vendor's examples do: 8."""
    if isinstance(value, dict):
        return {key: spell_whole(it) for key, it in value.items()}
    if isinstance(value, list):
        return [spell_whole(it) for it in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def read(fault: Fault) -> HistoryPage:
    """Let the client read a response, from a socket."""
    async with LocalGateway(0) as gateway, gateway.client(retry=None) as client:
        gateway.fault(fault)
        return await client.list_history()


@settings(max_examples=200)
@given(bodies("History"))
async def test_the_client_reads_every_page(body: dict[str, Any]) -> None:
    """Whatever the document allows, with what it says in each field."""
    page = await read(Fault(body=json.dumps(body).encode()))
    data = body["data"]
    assert (page.page, page.limit, page.request_id) == (data["page"], data["limit"], body["request_id"])
    assert len(page.items) == len(data["items"])
    for task, item in zip(page.items, data["items"], strict=True):
        known = {field.name: getattr(task, field.name) for field in attrs.fields(ImageTask)}
        assert known.pop("extra") == {name: value for name, value in item.items() if name not in known}
        for name, value in known.items():
            sent = item.get(name)
            assert value == (datetime.fromisoformat(sent) if isinstance(value, datetime) else sent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("credits_used", 8.0),
        ("created_at", "2016-12-31T23:59:60Z"),
    ],
)
async def test_what_the_client_does_not_read(name: str, value: Any) -> None:
    """The corners that docs/openapi.md owns up to: they conform, and are an error all the same."""
    body = json.loads(EXAMPLE)
    body["data"]["items"][0][name] = value
    check_example("History", body)
    with pytest.raises(APIResponseValidationError, match=name):
        await read(Fault(body=json.dumps(body).encode()))


@settings(max_examples=200)
@given(st.sampled_from(sorted(ERRORS)), bodies("Failure"), st.none() | st.integers(0, 86_400))
async def test_the_client_reads_every_failure(status: int, body: dict[str, Any], wait: int | None) -> None:
    """Each is the error of its status, with the gateway's text."""
    fault = Fault(status=status, body=json.dumps(body).encode(), retry_after=wait)
    with pytest.raises(APIStatusError) as caught:
        await read(fault)
    error = caught.value
    assert type(error) is ERRORS[status]
    assert (error.status, error.retry_after) == (status, wait)
    sent = body["error"]
    message = sent["message"][:500] or error.message
    expected = APIError(message, code=sent["code"][:500] or None, request_id=body["request_id"][:500] or None)
    for name in ("message", "code", "request_id"):
        assert getattr(error, name) == getattr(expected, name)
