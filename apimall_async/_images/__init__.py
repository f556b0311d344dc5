"""The image of a task, as a file: streamed, complete or absent, resumed after a broken connection.

What the gateway sends is untrusted: it names no path, and no host in a private network unless the gateway
is on this machine itself. An image's host learns nothing of the account: requests to it use connections of
their own, without the API's headers.
"""

from apimall_async._images._transfer import Limits, download


__all__ = ["Limits", "download"]
