"""Which hosts may be contacted: http(s) URLs without credentials, and public addresses only."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from yarl import URL

from apimall_async._images._failures import NotPublicError, validation_error


_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 addresses, as a network without IPv4 has them


def parse_url(text: str, base: URL | None = None) -> URL:
    """Parse a URL that may be requested, or the target of a redirect from ``base``.

    The host's address is checked later, when the connection is made.
    """
    try:
        url = base.join(URL(text)) if base else URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise validation_error("the image's URL does not begin with http(s):// and a host")
    if url.user is not None or url.password is not None:  # they would be sent as Authorization
        raise validation_error("the image's URL holds a user or a password")
    if base and (base.scheme, url.scheme) == ("https", "http"):
        raise validation_error("the image's host redirects from https to http")
    return url


def create_public_socket(info: Any) -> socket.socket:
    """Create a socket for a public address, as aiohttp's ``socket_factory``.

    The address that is checked is the one that is connected to. There is no second DNS lookup in between,
    so a name cannot resolve to another address by then.
    """
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise NotPublicError("the image's host is at an address that is not public")
    return socket.socket(family, kind, protocol)


def is_public(text: str) -> bool:
    """Whether this is an address of one machine on the internet, not of this machine or a private network."""
    try:
        address = ip_address(text)
    except ValueError:  # such as 2130706433, which a system takes for 127.0.0.1
        return False
    if isinstance(address, IPv6Address):
        inner = IPv4Address(int(address) % 2**32) if address in _NAT64 else None
        inner = inner or address.ipv4_mapped or address.sixtofour
        if not inner:
            return address.is_global and address in _GLOBAL_UNICAST
        address = inner
    return address.is_global and not address.is_multicast
