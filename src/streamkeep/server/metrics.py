"""
Give figures about this server in Prometheus's text format.

Strategy
    Nothing is counted while events pass. What a stream was like is read once, from its ending, when its log is sealed;
    how much goes on now is looked up when somebody asks. No label names a stream, model, prompt or key.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from streamkeep.server.service import Service
from streamkeep.stores.base import Head

TTFT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 180)
"""Upper bounds for a time to the first token, in seconds; models take 0.3 to 3, and 180 is the default limit."""

DURATION_BUCKETS_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
"""Upper bounds for a whole answer, in seconds, up to the default limit."""

STOP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Upper bounds for closing an upstream, in seconds; it takes about a millisecond, and a receipt waits for 5."""

MAX_CODES = 100
"""Error codes that get a series of their own, so that no provider can make more; ours has some thirty."""

OTHER_CODE = "other"
"""The code of what comes after those."""

MAX_STREAM_TOKENS = 10_000_000
"""Output tokens of one stream that are believed; a hundred times what models write."""


class _Timing(msgspec.Struct):
    ttft_ms: float | None = None
    duration_ms: float = 0.0


class _Error(msgspec.Struct):
    code: str = ""


class _Stop(msgspec.Struct):
    upstream_closed_ms: float | None = None


class _Ending(msgspec.Struct):
    """What is read of an ending's data; its usage is in an upstream's words."""

    timing: _Timing = msgspec.field(default_factory=_Timing)
    attempts: int = 0
    usage: dict[str, Any] | None = None
    error: _Error | None = None
    cancel: _Stop | None = None


class Figures:
    """
    One application's figures, in a registry of their own.

    Args:
        service: Whose.
    """

    def __init__(self, service: Service) -> None:
        self.registry = registry = CollectorRegistry()
        self._codes: set[str] = set()
        active = Gauge("streamkeep_streams_active", "Streams being produced.", registry=registry)
        active.set_function(lambda: len(service.relay.producers))
        readers = Gauge("streamkeep_readers", "Readers connected.", registry=registry)
        readers.set_function(lambda: service.heart.readers)
        self._finished = Counter(
            "streamkeep_streams_finished", "Streams that ended.", ("state", "code"), registry=registry
        )
        self._attempts = Counter(
            "streamkeep_upstream_attempts", "Requests to a model, of ended streams.", ("why",), registry=registry
        )
        self._entries = Counter("streamkeep_entries", "Entries in the logs of ended streams.", registry=registry)
        self._tokens = Counter("streamkeep_output_tokens", "Output tokens of ended streams.", registry=registry)
        self._ttft = Histogram(
            "streamkeep_ttft_seconds",
            "From a start to the first thing to show.",
            buckets=TTFT_BUCKETS_S,
            registry=registry,
        )
        self._duration = Histogram(
            "streamkeep_stream_duration_seconds", "From start to end.", buckets=DURATION_BUCKETS_S, registry=registry
        )
        self._stop = Histogram(
            "streamkeep_stop_seconds",
            "From a stop's request until the upstream was closed.",
            buckets=STOP_BUCKETS_S,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def count(self, head: Head) -> None:
        """Count a stream that has just ended."""
        ending = msgspec.json.decode(head.ending or b"{}", type=_Ending)
        code = "" if ending.error is None else self._known(ending.error.code)
        self._finished.labels(head.state.value, code).inc()
        self._entries.inc(head.seq)
        self._tokens.inc(_output_tokens(ending.usage))
        if ending.attempts:
            self._attempts.labels("start").inc()
            self._attempts.labels("retry").inc(ending.attempts - 1)
        self._duration.observe(_seconds(ending.timing.duration_ms))
        if ending.timing.ttft_ms is not None:
            self._ttft.observe(_seconds(ending.timing.ttft_ms))
        if ending.cancel is not None and ending.cancel.upstream_closed_ms is not None:
            self._stop.observe(_seconds(ending.cancel.upstream_closed_ms))

    def _known(self, code: str) -> str:
        if code not in self._codes and len(self._codes) >= MAX_CODES:
            return OTHER_CODE
        self._codes.add(code)
        return code


def routes(service: Service) -> APIRouter:
    """Make the route, and begin to count."""
    router = APIRouter(tags=["health"])
    figures = Figures(service)
    service.relay.on_ended.append(figures.count)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Give this server's figures for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(figures.registry), headers={"content-type": content_type, "cache-control": "no-store"})

    return router


def _seconds(ms: float) -> float:
    # Of a stream that outlived its server the ends are by two clocks, which may disagree.
    return max(ms, 0.0) / 1000


def _output_tokens(usage: dict[str, Any] | None) -> int:
    tokens = (usage or {}).get("output_tokens")
    return min(max(tokens, 0), MAX_STREAM_TOKENS) if isinstance(tokens, int) else 0
