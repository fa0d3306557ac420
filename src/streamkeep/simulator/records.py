"""
Remember what came in and how it ended, so that a test can ask the upstream's side.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_RECORDS: Final = 10_000
"""Requests remembered; the oldest are forgotten first. A record is about a kilobyte."""

MAX_WAITERS: Final = 1_000
"""Waits at one time."""

REMEMBERED_HEADERS: Final = (
    "accept",
    "accept-encoding",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "idempotency-key",
    "user-agent",
    "x-stainless-helper-method",
    "x-stainless-retry-count",
)
"""Never a key."""


class Outcome(StrEnum):
    """How a request ended."""

    OPEN = "open"
    FINISHED = "finished"
    DISCONNECTED = "disconnected"
    REFUSED = "refused"
    FAILED = "failed"
    """A fault was played out, as the request asked."""
    CUT = "cut"
    """The simulator was closed."""


@dataclass(slots=True)
class RequestRecord:
    """
    One request; it changes until `outcome` is no longer `open`.

    Attributes:
        number: from 1, in the order of arrival.
        method: of HTTP.
        path: without the query.
        headers: those of `REMEMBERED_HEADERS` that were sent.
        credential: `x-api-key`, `bearer` or "".
        started: seconds on the loop's clock.
        model: the name without options; "" before the body was read.
        stream: whether events were asked for.
        ended: seconds on the loop's clock; None while open.
        outcome: how it ended.
        status: of the response; None before it.
        events_sent: whole events written to the socket.
    """

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    credential: str
    started: float
    model: str = ""
    stream: bool = False
    ended: float | None = None
    outcome: Outcome = Outcome.OPEN
    status: int | None = None
    events_sent: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    What happened since the start.

    Attributes:
        requests: all of them, whatever the route.
        requests_open: not ended yet.
        streams_open: streams among them.
        streams_finished: streams sent to their end.
        disconnects: requests whose client went away before the end.
        refused: requests answered with an error before a stream.
        failed: requests whose fault was played out.
        events_sent: events of all streams.
        last_disconnect_at: seconds on the loop's clock; None if there was none.
    """

    requests: int
    requests_open: int
    streams_open: int
    streams_finished: int
    disconnects: int
    refused: int
    failed: int
    events_sent: int
    last_disconnect_at: float | None


Predicate = Callable[[RequestRecord], bool]


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    finished: int = 0
    disconnects: int = 0
    refused: int = 0
    failed: int = 0
    events: int = 0
    last_disconnect_at: float | None = None
    open: set[int] = field(default_factory=set)
    open_streams: set[int] = field(default_factory=set)


class Records:
    """
    The requests of one simulator, the last `MAX_RECORDS` of them in full.

    Args:
        clock: gives seconds; the loop's clock where it runs.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: deque[RequestRecord] = deque(maxlen=MAX_RECORDS)
        self._counts = _Counts()
        self._waiters: dict[asyncio.Future[RequestRecord], Predicate] = {}

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(tuple(self._records))

    def open(self, method: str, path: str, headers: Mapping[str, str]) -> RequestRecord:
        """
        Remember a request that came in.
        """
        self._counts.requests += 1
        kept = {name: headers[name] for name in REMEMBERED_HEADERS if name in headers}
        bearer = "bearer" if "authorization" in headers else ""
        credential = "x-api-key" if "x-api-key" in headers else bearer
        record = RequestRecord(self._counts.requests, method, path, kept, credential, self._clock())
        self._counts.open.add(record.number)
        self._records.append(record)
        self._tell(record)
        return record

    def started(self, record: RequestRecord, model: str, *, stream: bool) -> None:
        """
        Note what a request asks for.
        """
        record.model, record.stream = model, stream
        if stream:
            self._counts.open_streams.add(record.number)
        self._tell(record)

    def sent(self, record: RequestRecord, events: int) -> None:
        """
        Note that so many more events went out.
        """
        record.events_sent += events
        self._counts.events += events
        self._tell(record)

    def end(self, record: RequestRecord, outcome: Outcome, status: int | None = None) -> None:
        """
        Note how a request ended; only the first ending counts.
        """
        if record.outcome is not Outcome.OPEN:
            return
        record.outcome, record.ended, record.status = outcome, self._clock(), status or record.status
        counts = self._counts
        counts.open.discard(record.number)
        counts.open_streams.discard(record.number)
        counts.finished += outcome is Outcome.FINISHED and record.stream
        counts.refused += outcome is Outcome.REFUSED
        counts.failed += outcome is Outcome.FAILED
        if outcome is Outcome.DISCONNECTED:
            counts.disconnects += 1
            counts.last_disconnect_at = record.ended
        self._tell(record)

    def statistics(self) -> Statistics:
        """
        Return the counts as they are now.
        """
        counts = self._counts
        return Statistics(
            requests=counts.requests,
            requests_open=len(counts.open),
            streams_open=len(counts.open_streams),
            streams_finished=counts.finished,
            disconnects=counts.disconnects,
            refused=counts.refused,
            failed=counts.failed,
            events_sent=counts.events,
            last_disconnect_at=counts.last_disconnect_at,
        )

    async def wait_for(self, predicate: Predicate, timeout_s: float) -> RequestRecord:
        """
        Return the first remembered request that the predicate is true of, now or as soon as there is one.

        Raises:
            TimeoutError: after `timeout_s` seconds.
            RuntimeError: with more than `MAX_WAITERS` waits at one time.
        """
        for record in self._records:
            if predicate(record):
                return record
        if len(self._waiters) >= MAX_WAITERS:
            raise RuntimeError(f"{MAX_WAITERS} waits are open on this simulator; await some of them first.")
        found: asyncio.Future[RequestRecord] = asyncio.get_running_loop().create_future()
        self._waiters[found] = predicate
        try:
            async with asyncio.timeout(timeout_s):
                return await found
        finally:
            del self._waiters[found]

    def _tell(self, record: RequestRecord) -> None:
        for found, predicate in self._waiters.items():
            if not found.done() and predicate(record):
                found.set_result(record)
