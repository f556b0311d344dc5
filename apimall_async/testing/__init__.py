"""A stand-in for the gateway on loopback, to develop without a key and to test your own code.

    async with LocalGateway(tasks=500) as gateway, gateway.client() as client:
        page = await client.list_history()

It responds by the contract, keeps a journal, and fails on request: see Fault and RateLimit.
"""

from apimall_async.testing._faults import Fault
from apimall_async.testing._gateway import LocalGateway
from apimall_async.testing._history import History
from apimall_async.testing._journal import RecordedRequest
from apimall_async.testing._limits import RateLimit
from apimall_async.testing._paging import PastEnd, Ties
from apimall_async.testing._samples import sample_history


__all__ = [
    "Fault",
    "History",
    "LocalGateway",
    "PastEnd",
    "RateLimit",
    "RecordedRequest",
    "Ties",
    "sample_history",
]
