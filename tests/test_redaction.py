"""The API key is in nothing that leaves the client: no text, no attribute, no frame, no log."""

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apimall_async import ApimallError, RetryPolicy
from apimall_async._redaction import Redactor
from apimall_async.testing import Fault, LocalGateway


TWICE = RetryPolicy(max_tries=2, wait_initial=0.01, wait_max=0.02)
KEY = "sk-made-up-1234"


def check_error(error: BaseException, key: str, *, frames: bool = True) -> None:
    """Neither the error nor one that it is linked to has the key, nor have the variables of their frames."""
    behind_this_test = error.__traceback__.tb_next if error.__traceback__ else None
    shown = traceback.TracebackException(type(error), error, behind_this_test, capture_locals=frames)
    assert key not in "".join(shown.format())
    assert key not in repr(error) + str(error) + repr(vars(error))
    assert key.encode() not in pickle.dumps(error)


def faults(key: str) -> dict[str, Fault]:
    """Make responses of a gateway, or a proxy, that repeats the key in every place it can."""
    envelope = '{"success": false, "error": {"code": "%s", "message": "bad %s"}, "request_id": "%s"}'
    body = (envelope % (key, key, key)).encode()
    return {
        "401": Fault(status=401, body=body),
        "500": Fault(status=500, body=body),
        "429": Fault(status=429, body=body, retry_after=key),
        "200": Fault(status=200, body=body),
        "a text": Fault(status=200, body=key.encode(), content_type=f"text/{key}"),
        "a long message": Fault(
            status=401, body=b'{"error": {"message": "%s%s"}}' % (b"x" * 480, key.encode())
        ),
        "a page": Fault(status=200, body=b'{"success": true, "data": {"page": "%s"}}' % key.encode()),
        "HTML": Fault(status=502, body=b"<p>Bearer %s</p>" % key.encode(), content_type="text/html"),
        "a reset": Fault.reset(),
        "a cut body": Fault.truncate(),
        "silence": Fault.stall(),
        "silence in the body": Fault.stall(in_body=True),
    }


@pytest.mark.parametrize("name", faults(KEY))
async def test_no_error_has_the_key(
    gateway: LocalGateway, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Not in its text, its pickle, its attributes, its chain, its frames' variables, nor in a log."""
    caplog.set_level(logging.DEBUG)
    fault = faults(gateway.api_key)[name]
    gateway.fault(fault, fault)
    async with gateway.client(timeout=0.2, retry=TWICE) as client:
        with pytest.raises(ApimallError) as caught:
            await client.list_history()
        assert gateway.api_key not in repr(client)
    # Response headers stay as they came in the frames that read them.
    in_headers = gateway.api_key in f"{fault.retry_after} {fault.content_type}"
    check_error(caught.value, gateway.api_key, frames=not in_headers)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert gateway.api_key not in caplog.text


async def test_a_closed_client_has_not_the_key(gateway: LocalGateway) -> None:
    """A request that ends because the client is closed drags nothing of aiohttp's along."""
    gateway.fault(Fault.stall())
    client = gateway.client()
    request = asyncio.create_task(client.list_history())
    while not gateway.requests:
        await asyncio.sleep(0.01)
    await client.close()
    with pytest.raises(ApimallError) as caught:
        await request
    assert caught.value.__context__ is None
    check_error(caught.value, gateway.api_key)


@pytest.mark.parametrize("fault", [Fault.stall(), Fault.stall(in_body=True)])
@pytest.mark.parametrize("way", ["cancelled", "timed out"])
async def test_a_cancelled_call_has_not_the_key(gateway: LocalGateway, fault: Fault, way: str) -> None:
    """Nor has one that ``asyncio.timeout`` ends: tools that report errors show the variables of frames."""
    gateway.fault(fault)
    async with gateway.client() as client:
        request = asyncio.create_task(client.list_history())
        while not gateway.requests:
            await asyncio.sleep(0.01)
        if way == "cancelled":
            request.cancel()
        with pytest.raises((asyncio.CancelledError, TimeoutError)) as caught:
            async with asyncio.timeout(0.05):
                await request
    check_error(caught.value, gateway.api_key)


# Out of bodies.


def as_it_is(text: str) -> str:
    """Write a text without escapes, but those that JSON needs."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def escaped(text: str) -> str:
    """Write a text in JSON's longest way."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def half_escaped(text: str) -> str:
    """Write every other character so."""
    return "".join(escaped(one) if number % 2 else as_it_is(one) for number, one in enumerate(text))


SPELLINGS: list[Callable[[str], str]] = [
    as_it_is,
    escaped,
    half_escaped,
    lambda text: escaped(text).upper().replace("\\U", "\\u"),
]
# Keys begin as the contract's do, so none can begin within one of JSON's escapes. What follows is letters,
# digits and signs; a quote or a backslash, which JSON escapes in its own way, is in none.
keys = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=8, max_size=20
).map("sk-{}".format)


@given(keys, st.sampled_from(SPELLINGS), st.text(max_size=5), st.text(max_size=5))
def test_a_key_is_cut_out_of_json(key: str, spell: Callable[[str], str], before: str, behind: str) -> None:
    """However its characters are written; what stands around it stays."""
    assume(key not in f"{before}{behind}" and f"{before}{key}{behind}".find(key) == len(before))
    body = f'{{"message": "{as_it_is(before)}{spell(key)}{as_it_is(behind)}"}}'
    assert json.loads(Redactor(key).body(body.encode())) == {"message": f"{before}[API key]{behind}"}


@given(keys, st.binary() | st.text().map(lambda text: json.dumps(text).encode()))
def test_other_bodies_stay_as_they_are(key: str, body: bytes) -> None:
    """Byte for byte."""
    assume(key.encode() not in body)
    assert Redactor(key).body(body) == body
