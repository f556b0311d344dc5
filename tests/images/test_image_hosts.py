"""Which hosts are contacted, and which are not."""

import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from image_host import Host, files, hosting, make_task, response, sends

from apimall_async import APIError, APIResponseValidationError, AsyncClient
from apimall_async._images import _hosts
from apimall_async._images._hosts import create_public_socket, is_of_this_machine, is_public


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2130706433",
    "0x7f000001",
    "127.1",
    "017700000001",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    """This machine, private networks, metadata services, multicast; however they are spelled or wrapped."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700::1", "64:ff9b::101:101", "::ffff:1.1.1.1", "2002:101:101::1"],
)
def test_addresses_that_are_public(address: str) -> None:
    """A socket is created for them."""
    assert is_public(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(create_public_socket((family, socket.SOCK_STREAM, 0, "", (address, 80)))) as created:
        assert created.family == family


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "2130706433", "0", "[::ffff:127.0.0.1]", "cdn.test"]
)
async def test_a_remote_gateway_cannot_have_this_machine_requested(
    remote_client: AsyncClient, host: Host, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever name, also one that resolves to something else the second time: no connection is made."""
    look_up = socket.getaddrinfo

    def lie(name: str, *arguments: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if name == "cdn.test" else name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    port = host.url.rpartition(":")[2]
    with pytest.raises(APIError) as caught:
        await remote_client.download(make_task(f"http://{name}:{port}/"), tmp_path)
    assert not caught.value.retryable
    assert host.connections == 0
    assert files(tmp_path) == {}
    if name not in {"2130706433", "0"}:  # newer aiohttp refuses these by itself
        assert "not public" in str(caught.value)


async def test_a_redirect_to_this_machine_is_refused(
    remote_client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each redirect is checked: here, one address of this machine plays the internet."""
    monkeypatch.setattr(_hosts, "is_public", lambda address: address == "127.0.0.2")
    monkeypatch.setattr(_hosts, "is_of_this_machine", lambda _: False)
    async with hosting("127.0.0.2") as public:
        public.script += [sends(response(302, b"", {"Location": host.url}))]
        with pytest.raises(APIResponseValidationError, match="not public"):
            await remote_client.download(make_task(public.url), tmp_path)
    assert (public.connections, host.connections) == (1, 0)


def own_addresses() -> list[str]:
    """List loopback's address, and the one from which this machine reaches others, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("198.51.100.1", 9))
        return ["127.0.0.1", str(probe.getsockname()[0])]
    return ["127.0.0.1"]


@pytest.mark.parametrize("address", own_addresses())
def test_an_address_of_this_machine_is_not_the_internet(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that everybody on the internet can reach: here, each address of this machine plays one."""
    monkeypatch.setattr(_hosts, "is_public", lambda _: True)
    with pytest.raises(OSError, match="of this machine"):
        create_public_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80)))


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"])
def test_an_address_of_this_machine_is_found_in_another(address: str) -> None:
    """However it is wrapped."""
    assert is_of_this_machine(address)


@pytest.mark.parametrize("address", ["255.255.255.255", "192.0.2.77", "2001:db8::77"])
def test_an_address_elsewhere_is_not_of_this_machine(address: str) -> None:
    """Also one to which no way leads, or none that this process may use."""
    assert not is_of_this_machine(address)
