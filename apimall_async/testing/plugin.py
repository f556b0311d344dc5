"""The pytest plugin: ``apimall_gateway``, a fresh gateway for a test."""

from collections.abc import Iterator

import pytest

# Not left to the fixture: to load a plugin, pytest imports the packages it lies in, so nothing would be
# saved. For the same reason coverage is measured by `coverage run -m pytest`, which begins before that.
from apimall_async.testing import LocalGateway


@pytest.fixture
def apimall_gateway() -> Iterator[LocalGateway]:
    """Run a LocalGateway of 100 tasks, in a thread, so for async tests and others alike."""
    with LocalGateway(100).in_thread() as gateway:
        yield gateway
