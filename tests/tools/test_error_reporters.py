"""What tools that report errors send: Sentry, OpenTelemetry, rich and traceback, each with its variables."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from reporting import SCENES


KEY = "sk-real/key+of-1234"
PASSWORD = "password-of-the-proxy"
LOGIN = b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def reports() -> Any:
    """Run the program; in a process of its own, because these tools change aiohttp for good."""
    program = Path(__file__).with_name("reporting.py")
    environment = os.environ | {"APIMALL_API_KEY": KEY, "PROXY_PASSWORD": PASSWORD}
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scene", SCENES)
def test_no_report_has_a_secret(reports: Any, scene: str) -> None:
    """Whatever ends a call: neither the key nor the proxy's password is among the variables of any frame."""
    report = reports[scene]
    for tool in ("sentry", "rich", "traceback"):
        assert f"canary-{scene}" in report[tool], f"{tool} shows no variables"
    shown = json.dumps(report).replace("\\", "")
    assert KEY not in shown
    assert PASSWORD not in shown
    assert LOGIN not in shown
    assert "real/key" not in shown


def test_the_scenes_end_as_they_should(reports: Any) -> None:
    """By the errors that the user's program gets."""
    assert {scene: report["type"] for scene, report in reports.items()} == {
        "timeout": "TimeoutError",
        "timeout_in_body": "TimeoutError",
        "wait_for": "TimeoutError",
        "cancel": "CancelledError",
        "task_group": "ExceptionGroup",
        "interrupt": "KeyboardInterrupt",
        "refused": "AuthenticationError",
        "reset": "APIConnectionError",
        "middleware": "LookupError",
        "tracer": "LookupError",
        "proxy": "TimeoutError",
        "proxy_of_the_session": "TimeoutError",
        "not_made": "ConfigurationError",
        "not_made_of_arguments": "ConfigurationError",
        "key_is_wrong": "ConfigurationError",
    }
    assert all("GET" in reports[scene]["opentelemetry"] for scene in ("timeout", "refused", "reset"))
