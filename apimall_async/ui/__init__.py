"""The history page: an account's images in the browser, live. The API key stays in the process.

    app.add_subapp("/history", create_app(client))

``create_app`` is the page for a service of one's own; ``serve`` serves it alone, on this machine;
``demo_gateway`` is a gateway to show it with.
"""

from apimall_async.ui._app import create_app
from apimall_async.ui._demo import demo_gateway
from apimall_async.ui._serve import serve


__all__ = ["create_app", "demo_gateway", "serve"]
