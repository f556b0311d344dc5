"""Which hosts may be contacted: those with a public address, which is not of this machine itself."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from apimall_async._images._failures import NotPublicError


_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 addresses, as a network without IPv4 has them
_ANY_PORT = 9


def create_public_socket(info: Any) -> socket.socket:
    """Create a socket for a public address, as aiohttp's ``socket_factory``.

    The address that is checked is the one that is connected to. There is no second DNS lookup in between,
    so a name cannot resolve to another address by then.
    """
    family, kind, protocol, _, address = info
    host = str(address[0])
    if not is_public(host):
        raise NotPublicError("the image's host is at an address that is not public")
    if is_of_this_machine(host):
        raise NotPublicError("the image's host is at an address of this machine, which is not public")
    return socket.socket(family, kind, protocol)


def is_public(text: str) -> bool:
    """Whether this is an address of one machine on the internet, not of loopback or a private network."""
    try:
        address = ip_address(text)
    except ValueError:  # such as 2130706433, which a system takes for 127.0.0.1
        return False
    if isinstance(address, IPv6Address):
        inner = _wrapped(address)
        if not inner:
            return address.is_global and address in _GLOBAL_UNICAST
        address = inner
    return address.is_global and not address.is_multicast


def is_of_this_machine(text: str) -> bool:
    """Whether one of this machine's own interfaces has the address, or the one wrapped in it."""
    address = ip_address(text)
    inner = _wrapped(address) if isinstance(address, IPv6Address) else None
    return _is_own(address) or (inner is not None and _is_own(inner))


def _is_own(address: IPv4Address | IPv6Address) -> bool:
    """Let the system choose where packets to the address would come from: to one of its own, from itself.

    For UDP, it chooses without sending any.
    """
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), _ANY_PORT))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:  # no way leads there, so no connection will
        return False


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    inner = IPv4Address(int(address) % 2**32) if address in _NAT64 else None
    return inner or address.ipv4_mapped or address.sixtofour
