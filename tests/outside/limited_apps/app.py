"""An endless history behind a rate limiter from PyPI: ``python app.py LIMITER PORT REQUESTS SECONDS``.

Each response is a line of its output: its status.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any


LIMITER, PORT, REQUESTS, SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
RATE = f"{REQUESTS}/{SECONDS} seconds"
NEWEST = datetime(2026, 2, 2, tzinfo=UTC)


def page(number: int, limit: int) -> dict[str, Any]:
    """Make a page of tasks."""
    items = [
        {
            "task_id": f"img_{position}",
            "model": "seedream-4",
            "source": "ark",
            "status": "pending",
            "credits_used": 6,
            "created_at": f"{NEWEST - timedelta(seconds=position):%Y-%m-%dT%H:%M:%S}.000Z",
            "image_url": None,
            "credits_refunded": None,
            "completed_at": None,
        }
        for position in range((number - 1) * limit, number * limit)
    ]
    return {"success": True, "data": {"items": items, "page": number, "limit": limit}, "request_id": "req_1"}


def note(status: int) -> None:
    """Write a line."""
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()


def _fastapi(endpoint: Any, app: Any) -> None:
    import uvicorn

    @app.middleware("http")
    async def count(request: Any, respond: Any) -> Any:
        response = await respond(request)
        note(response.status_code)
        return response

    app.add_api_route("/{path:path}", endpoint, response_model=None)
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error")


def slowapi() -> None:
    """Limit by slowapi."""
    from fastapi import FastAPI, Request
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.util import get_remote_address

    app = FastAPI()
    limiter = app.state.limiter = Limiter(key_func=get_remote_address)
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)

    @limiter.limit(RATE)
    async def history(request: Request) -> Any:
        return page(int(request.query_params["page"]), int(request.query_params["limit"]))

    _fastapi(history, app)


def fastapi_limiter() -> None:
    """Limit by fastapi-limiter, which has pyrate-limiter inside."""
    from fastapi import Depends, FastAPI, Request
    from fastapi_limiter.depends import RateLimiter
    from pyrate_limiter import Duration, Limiter, Rate

    limiter = Limiter(Rate(REQUESTS, Duration.SECOND * SECONDS))

    async def history(request: Request, _: Any = Depends(RateLimiter(limiter=limiter))) -> Any:
        return page(int(request.query_params["page"]), int(request.query_params["limit"]))

    _fastapi(history, FastAPI())


def flask_limiter(strategy: str, *, headers: bool) -> None:
    """Limit by Flask-Limiter."""
    from flask import Flask, request
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address
    from waitress import serve

    app = Flask("app")
    limiter = Limiter(get_remote_address, app=app, strategy=strategy, headers_enabled=headers)

    @app.get("/<path:path>")
    @limiter.limit(RATE)
    def history(path: str) -> Any:
        return page(int(request.args["page"]), int(request.args["limit"]))

    @app.after_request
    def count(response: Any) -> Any:
        note(response.status_code)
        return response

    serve(app, host="127.0.0.1", port=PORT, threads=16)


def drf() -> None:
    """Limit by the throttle of Django REST framework."""
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.urls import re_path
    from waitress import serve

    framework = {
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    }
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", REST_FRAMEWORK=framework)
    django.setup()
    from rest_framework.decorators import api_view, throttle_classes
    from rest_framework.response import Response
    from rest_framework.throttling import AnonRateThrottle

    class Throttle(AnonRateThrottle):
        rate = f"{REQUESTS}/s"

        def parse_rate(self, rate: str) -> tuple[int, int]:
            """Take a window of any length."""
            return REQUESTS, SECONDS

    @api_view(["GET"])
    @throttle_classes([Throttle])
    def history(request: Any) -> Any:
        return Response(page(int(request.GET["page"]), int(request.GET["limit"])))

    globals()["urlpatterns"] = [re_path(".*", history)]
    app = get_wsgi_application()

    def counted(environ: Any, start_response: Any) -> Any:
        def start(status: str, *rest: Any) -> Any:
            note(int(status[:3]))
            return start_response(status, *rest)

        return app(environ, start)

    serve(counted, host="127.0.0.1", port=PORT, threads=16)


LIMITERS: Mapping[str, Callable[[], None]] = {
    "slowapi": slowapi,
    "fastapi-limiter": fastapi_limiter,
    "Flask-Limiter": lambda: flask_limiter("fixed-window", headers=False),
    "Flask-Limiter moving-window": lambda: flask_limiter("moving-window", headers=False),
    "Flask-Limiter moving-window, headers": lambda: flask_limiter("moving-window", headers=True),
    "Django REST framework": drf,
}

if __name__ == "__main__":
    LIMITERS[LIMITER]()
