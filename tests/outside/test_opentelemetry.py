"""Traces by OpenTelemetry's instrumentation of aiohttp: a span is a try, a healthy iteration has no error."""

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from apimall_async import RetryPolicy
from apimall_async.testing import Fault, LocalGateway


pytestmark = pytest.mark.outside

pytest.importorskip("opentelemetry.instrumentation.aiohttp_client", reason="the group `outside` is missing")

from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402


class Observed:
    """What the instrumentation has recorded."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.metrics = InMemoryMetricReader()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider(metric_readers=[self.metrics])
        AioHttpClientInstrumentor().instrument(tracer_provider=traces, meter_provider=meters)

    def spans(self) -> list[tuple[str, Any]]:
        """Return each span's status, and its HTTP status."""
        found = self.exporter.get_finished_spans()
        self.exporter.clear()
        return [
            (span.status.status_code.name, (span.attributes or {}).get("http.status_code")) for span in found
        ]


@pytest.fixture
def observed() -> Iterator[Observed]:
    """Instrument aiohttp for a while."""
    yield Observed()
    AioHttpClientInstrumentor().uninstrument()


async def test_a_span_is_a_try(observed: Observed) -> None:
    """Those that failed are errors, the last is none; the key is nowhere in them."""
    async with LocalGateway(20) as gateway, gateway.client(retry=RetryPolicy(wait_initial=0.01)) as client:
        gateway.fault(Fault.error(500), Fault.error(429, retry_after=0.01))
        await client.list_history()
        recorded = "".join(span.to_json() for span in observed.exporter.get_finished_spans())
    assert observed.spans() == [("ERROR", 500), ("ERROR", 429), ("UNSET", 200)]
    assert gateway.api_key not in recorded
    assert "page=1&limit=20" in recorded
    assert "http.client.duration" in str(observed.metrics.get_metrics_data())


@pytest.mark.parametrize("tasks", [300, 1_000], ids=["break", "to the end"])
async def test_a_healthy_iteration_has_no_error(observed: Observed, tasks: int) -> None:
    """Neither where it is left early, nor at its end, where pages behind the last one were prefetched."""
    with LocalGateway(1_000, latency=0.02).in_thread() as gateway:
        async with gateway.client() as client, aclosing(client.iter_history(read_ahead=8)) as iteration:
            read = 0
            async for _ in iteration:
                read += 1
                if read == tasks:
                    break
    spans = observed.spans()
    assert len(spans) > tasks / 50
    assert set(spans) == {("UNSET", 200)}
