"""The API key is in nothing that leaves the client: no text, no attribute, no frame, no log."""

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from apimall_async import ApimallError, HistoryPage, RetryPolicy
from apimall_async._protocol import read_page
from apimall_async._redaction import Redactor
from apimall_async.testing import Fault, LocalGateway


TWICE = RetryPolicy(max_tries=2, max_time=1.0, wait_initial=0.01, wait_max=0.02)
KEY = "sk-made-up-1234"


def check_error(error: BaseException, key: str) -> None:
    """Neither the error nor one that it is linked to has the key, nor have the variables of their frames."""
    behind_this_test = error.__traceback__.tb_next if error.__traceback__ else None
    shown = traceback.TracebackException(type(error), error, behind_this_test, capture_locals=True)
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
    gateway.rule(lambda _: fault)
    async with gateway.client(timeout=0.2, retry=TWICE) as client:
        with pytest.raises(ApimallError) as caught:
            await client.list_history()
        assert gateway.api_key not in repr(client)
    check_error(caught.value, gateway.api_key)
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


def slashes_escaped(text: str) -> str:
    """Write a text as PHP does."""
    return as_it_is(text).replace("/", "\\/")


def escaped(text: str) -> str:
    """Write a text in JSON's longest way."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def half_escaped(text: str) -> str:
    """Write every other character so."""
    return "".join(escaped(one) if number % 2 else as_it_is(one) for number, one in enumerate(text))


SPELLINGS: list[Callable[[str], str]] = [
    as_it_is,
    slashes_escaped,
    escaped,
    half_escaped,
    lambda text: escaped(text).upper().replace("\\U", "\\u"),
]
characters = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
keys = st.text(characters, min_size=8, max_size=20)
spellings = st.sampled_from(SPELLINGS)


def around(key: str, before: str, behind: str) -> str:
    """Put the key between two texts, where it stands once."""
    text = f"{before}{key}{behind}"
    assume(text.find(key) == text.rfind(key) == len(before))
    return text


@given(keys, spellings, st.text(max_size=5), st.text(max_size=5))
@example("/ab/cd/ef", slashes_escaped, "", "")
@example('"a"b"c"d"', as_it_is, "\\", '"')
@example("\\\\\\\\\\\\\\\\", as_it_is, "", "n")
def test_a_key_is_cut_out_of_json(key: str, spell: Callable[[str], str], before: str, behind: str) -> None:
    """However its characters are written; what stands around it stays."""
    around(key, before, behind)
    spelled = f"{as_it_is(before)}{spell(key)}{as_it_is(behind)}"
    body = f'{{"message": "{spelled}", "{spelled}": [1, ["{spelled}", null, true, 1.5]]}}'
    cut = f"{before}[API key]{behind}"
    assert json.loads(Redactor(key).body(body.encode())) == {"message": cut, cut: [1, [cut, None, True, 1.5]]}


@given(keys, spellings, spellings)
@example("/ab/cd/ef", slashes_escaped, slashes_escaped)
def test_a_key_is_cut_out_of_json_in_json(
    key: str, spell: Callable[[str], str], spell_again: Callable[[str], str]
) -> None:
    """As a proxy quotes the response of the gateway in one of its own."""
    inner = f'{{"message":"{spell(key)}"}}'
    cut = json.loads(Redactor(key).body(f'{{"message": "{spell_again(inner)}"}}'.encode()))
    assert "[API key]" in cut["message"]
    assert not any(written(key) in cut["message"] for written in SPELLINGS)


@given(keys, st.binary() | st.text().map(lambda text: json.dumps(text).encode()))
def test_other_bodies_stay_as_they_are(key: str, body: bytes) -> None:
    """Byte for byte."""
    assume(key.encode().replace(b"\\", b"") not in body.replace(b"\\", b"") and b"\0" not in body)
    assert Redactor(key).body(body) == body


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "utf-8-sig"])
def test_a_key_is_cut_out_of_json_in_another_encoding(encoding: str) -> None:
    """Python's json reads these, too."""
    body = json.dumps({"message": KEY}).encode(encoding)
    assert json.loads(Redactor(KEY).body(body)) == {"message": "[API key]"}


def test_a_key_is_no_part_of_an_escape_or_of_a_number() -> None:
    """A key of digits alone is cut out of texts, not out of what is written with the same digits."""
    body = b'{"letter": "\\u11111111", "zeros": "\\u00000000", "number": 1111111122, "text": "11111111"}'
    for key, cut in {"11111111": "[API key]", "00000000": "11111111"}.items():
        assert json.loads(Redactor(key).body(body)) == {
            "letter": "\u11111111",
            "zeros": "\x000000",
            "number": 1111111122,
            "text": cut,
        }


def test_what_is_too_short_for_a_key_is_not_cut_out() -> None:
    """A word such as ``img`` stands in texts that have nothing to do with the key."""
    body = b'{"task_id": "img_1", "model": "\\u0069mg"}'
    assert Redactor("img").body(body) == body
    assert Redactor("img").text("img_1") == "img_1"


def test_a_key_is_cut_out_of_what_is_nested_too_deep_to_be_read() -> None:
    """It takes no recursion that Python refuses."""
    deep = b"[" * 900 + b'"%s"' % KEY.encode() + b"]" * 900
    cut = Redactor(KEY).body(b'{"a": "%s", "b": %s}' % (KEY.encode(), deep))
    assert KEY.encode() not in cut
    assert json.loads(cut)["a"] == "[API key]"


def test_a_body_that_is_no_json_has_no_key() -> None:
    """Nothing of it is shown, but the frames that read it have it among their variables."""
    assert Redactor(KEY).body(b"<p>%s</p>" % KEY.encode()) == b"<p>[API key]</p>"


def test_a_long_message_is_cut_behind_the_key() -> None:
    """The key goes before the text is shortened: no part of it is left at the end."""
    key = "sk-ab/cd+EF/0123456789abcdef"
    for spell in SPELLINGS:
        for before in range(470, 501):
            message = "x" * before + spell(key)
            body = f'{{"error": {{"message": "{message}", "code": "{message}"}}}}'
            with pytest.raises(ApimallError) as caught:
                read_page(HistoryPage, 401, CIMultiDict(), Redactor(key).body(body.encode()))
            assert "sk-" not in str(caught.value)
