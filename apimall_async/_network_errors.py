"""What aiohttp raises when there is no whole response, in words; and whether that may pass."""

from http import HTTPStatus

import aiohttp


DISTRUST = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
DISTRUST_HINT = (
    "check {base_url} and this machine's clock; for an authority of your own, pass a session that trusts it"
)

_UNCONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_SOCKS_REPLIES = {  # that may pass
    1,  # general failure; RFC 1928, 6, for these
    3,  # network unreachable
    4,  # host unreachable
    5,  # connection refused
    6,  # TTL expired
    91,  # SOCKS4: rejected or failed
}


def describe(error: Exception) -> str:
    """Say what went wrong, better than aiohttp where that says nothing, or too much."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            return f"the certificate of {error.host}:{error.port} is not trusted: {reason}"
        case aiohttp.ServerFingerprintMismatch():
            return f"the certificate of {error.host}:{error.port} has another fingerprint"
        case aiohttp.ClientConnectorError():
            whom = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
            reason = str(error.os_error) or type(error.os_error).__name__
            return f"cannot connect to {whom}{error.host}:{error.port}: {reason}"
        case aiohttp.ClientHttpProxyError():  # its own text has the proxy's URL
            return f"the proxy responded {error.status} {error.message}"
        case aiohttp.ClientResponseError():  # no HTTP; its own text has the URL, too, then what came instead
            reason, _, _ = error.message.partition("\n")
            return f"{type(error).__name__}: {error.status}, {reason.rstrip(':')}"
        case _:
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _may_status_pass(error.status)
    if _is_of_socks(error):
        return _may_socks_error_pass(error)
    # An EOFError comes from a connector of the caller's, where a proxy cuts the connection.
    return isinstance(error, aiohttp.ClientError | OSError | EOFError) and not isinstance(
        error, (*DISTRUST, aiohttp.InvalidURL)
    )


def has_connected(error: Exception) -> bool:
    """Whether there was a connection to the host, or to its proxy."""
    return not (isinstance(error, _UNCONNECTED) or (_is_of_socks(error) and _is_unreached(error)))


def is_unreadable(error: Exception) -> bool:
    """Whether a response has an encoding that aiohttp knows, and cannot unpack here: ``br``, ``zstd``."""
    return isinstance(error, aiohttp.ClientResponseError) and "content-encoding" in error.message


def _may_status_pass(status: int) -> bool:
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _is_of_socks(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "aiohttp_socks"


def _is_unreached(error: Exception) -> bool:
    """Whether there was no connection to the SOCKS proxy itself."""
    return not hasattr(error, "error_code")


def _may_socks_error_pass(error: Exception) -> bool:
    """Whether a SOCKS proxy may let the next request through: these errors are of no kind of aiohttp's."""
    code = getattr(error, "error_code", None)
    return _is_unreached(error) or (
        isinstance(code, int) and (code in _SOCKS_REPLIES or _may_status_pass(code))
    )
