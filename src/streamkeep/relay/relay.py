"""
The front of the relay: start, find, list, stop and forget streams.

Strategy
    A start is written into the log before anything else happens (I13); then a producer works for it. Readers share
    a tail per stream. All state that matters is in the store: a relay that starts on a store where another died ends
    what that one left open.
"""

import asyncio
import logging
import random as system_random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import msgspec

from streamkeep import registry
from streamkeep.cursor import EPOCH_CHARACTERS, EPOCH_LENGTH
from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, Entry, event
from streamkeep.errors import BadRequest, Conflict, Overloaded, StreamClosed, StreamkeepError, StreamNotFound
from streamkeep.lifecycle import State
from streamkeep.relay import orphans
from streamkeep.relay.policy import Policy, Start, check_id, read_start
from streamkeep.relay.producer import Producer, Source
from streamkeep.relay.pulse import LEASE_S, Pulse
from streamkeep.relay.stream import Stream, rfc3339
from streamkeep.relay.tail import Tail
from streamkeep.stores.base import Head, Record, Store
from streamkeep.upstream import Upstream

MAX_STREAMS = 10_000
"""Streams produced at once; a further start is refused with `overloaded`."""

RECEIPT_S = 5.0
"""Seconds that a stop waits for the seal before it answers with what is so far."""

SHUTDOWN_S = 10.0
"""Seconds that endings may take to be written once the relay goes down."""

MODELS_S = 10.0
"""Seconds for a connection to ask for the models."""

MAX_CANCEL_TRIES = 20
"""Times that a stop request is appended anew because the log moved on; each time the log has really grown."""

_log = logging.getLogger(__name__)


class Relay:
    """
    Everything between the application and the model's API, in one process. Use as an async context manager.

    Args:
        store: The log, or its URL.
        sources: Providers that can be asked, by name; the first is the default.
        policy: What a start that says nothing gets.
        max_streams: Streams produced at once.
        read_only: Only read a log that another process writes.
        now: Gives seconds since the Unix epoch.
        random: Gives random numbers from 0 up to 1, for ids, epochs and jitter; must not be predictable.
        upstream: The connections to model APIs; None: a pool of `max_streams`.

    Attributes:
        on_ended: Called with each log that this relay has sealed, once, right after.
    """

    def __init__(
        self,
        store: Store | str,
        sources: Mapping[str, Source],
        *,
        policy: Policy = Policy(),
        max_streams: int = MAX_STREAMS,
        read_only: bool = False,
        now: Callable[[], float] = time.time,
        random: system_random.Random | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        self.store = registry.store(store).from_url(store) if isinstance(store, str) else store
        self.sources = dict(sources)
        self.policy = policy
        self.read_only = read_only
        self.now = now
        self.random = random or system_random.SystemRandom()
        self.tails: dict[str, Tail] = {}
        self.producers: dict[str, Producer] = {}
        self.on_ended: list[Callable[[Head], None]] = []
        self.draining = False
        self.entered = False
        self._max_streams = max_streams
        self._upstream = upstream or Upstream(max_connections=max_streams)
        self._starting: set[asyncio.Task[Stream]] = set()
        self._pulse: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """
        Open the store, end what another relay left open, and begin.

        Raises:
            StoreInUse, StoreTooNew, StoreUnavailable: See `Store.open`.
        """
        await self.store.open()
        try:
            await self._upstream.__aenter__()
            if self.store.single_writer and not self.read_only:
                await orphans.end_all(self)
        except BaseException:
            await self._upstream.__aexit__(None, None, None)
            await self.store.close()
            raise
        self._pulse = asyncio.create_task(Pulse(self).run(), name="relay pulse")
        self.entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is still produced, and close."""
        self.entered = False
        await self.drain(0)
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.gather(self._pulse, return_exceptions=True)
        await self._upstream.__aexit__(kind, error, trace)
        await self.store.close()

    async def start(
        self,
        request: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Stream:
        """
        Start a stream, or find the one that the same start began earlier (I15).

        Args:
            request: A Messages request, and beside its members `id`, `provider`, `policy`, `metadata`, `prompt`.
            headers: The vendor's own headers to pass on, lower-case names.
            idempotency_key: Two starts with one key are one start.

        Raises:
            BadRequest: The request is not as it should be.
            StreamExists: Id or key belong to another request.
            StreamExpired: Id or key belonged to a stream that is forgotten.
            Overloaded: No further stream can be produced now.
            StoreFull, StoreUnavailable: Nothing was started.
        """
        start = read_start(request, default=self.policy, headers=headers or {}, idempotency_key=idempotency_key)
        return await self.begin(start)

    async def begin(self, start: Start) -> Stream:
        """Do what `start` does with a start that is read already."""
        source = self._source(start)
        start.request.setdefault("model", source.default_model)
        call = source.provider.call(start.request, start.headers)
        if self.draining:
            raise Overloaded("The server is going down and starts nothing new; try again.", code="shutting_down")
        if len(self.producers) + len(self._starting) >= self._max_streams:
            raise Overloaded(f"All {self._max_streams} places for streams are taken; try again.")
        # A caller that goes away between the log's first entry and its producer must not leave a stream without one.
        starting = asyncio.create_task(self._begin(start, source, call), name="start of a stream")
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        return await asyncio.shield(starting)

    def _source(self, start: Start) -> Source:
        name = start.provider or next(iter(self.sources), "")
        if name not in self.sources:
            raise BadRequest(f"provider: {name[:40]!r} is not set up; there are: {', '.join(self.sources) or 'none'}.")
        return self.sources[name]

    async def _begin(self, start: Start, source: Source, call: Any) -> Stream:
        now = self.now()
        record = Record(
            id=start.id or f"st_{self.random.getrandbits(128):032x}",
            created_at=now,
            provider=source.name,
            model=str(start.request["model"]),
            fingerprint=start.fingerprint,
            idempotency_key=start.idempotency_key,
            request=msgspec.json.encode(start),
            metadata=msgspec.json.encode(start.metadata),
            ttl_s=start.policy.ttl,
        )
        opening = {"id": record.id, "provider": record.provider, "model": record.model, "created_at": rfc3339(now)}
        accepted = Entry(1, now, *event(ACCEPTED, {**opening, "metadata": start.metadata or None}))
        stopped = Entry(2, now, *event(CANCEL_REQUESTED, {"by": "caller"}))
        created = await self.store.create(record, accepted, epoch=self.mint_epoch(), cancelled=stopped, lease_s=LEASE_S)
        if created.lease is None:
            return Stream(self, await self.head(created.head.id), replayed=True)
        tail = self._new_tail(created.head, [accepted, stopped][: created.head.seq])
        lease = created.lease
        producer = Producer(
            start,
            source,
            call,
            lease=lease,
            upstream=self._upstream,
            store=self.store,
            tail=tail,
            now=self.now,
            random=self.random.random,
        )
        self.producers[record.id] = producer
        producer.run().add_done_callback(lambda _: self._produced(tail, producer))
        return Stream(self, created.head)

    def _new_tail(self, head: Head, window: list[Entry]) -> Tail:
        """Give the tail of a stream that has just begun: that of a reader who was here first, or a new one."""
        tail = self.tails.get(head.id)
        if tail is None or tail.record != head.record:
            tail = self.tails[head.id] = Tail(head, window)
        if not tail.readers:
            tail.unwatched_since = asyncio.get_running_loop().time()
        return tail

    def _produced(self, tail: Tail, producer: Producer) -> None:
        tail.unwatched_since = None
        if self.producers.get(tail.id) is producer:
            del self.producers[tail.id]
            if not tail.readers:
                del self.tails[tail.id]
        self.tell_ended(tail)

    def tell_ended(self, tail: Tail) -> None:
        """Tell `on_ended` of a log whose writer has let go of it, if that sealed it."""
        if not tail.state.ended:
            return
        for observer in self.on_ended:
            try:
                observer(tail.head)
            except Exception:  # Whoever looks on must not keep a stream from ending.
                _log.exception("stream %s: an observer of its ending failed", tail.id)

    def mint_epoch(self) -> str:
        """Mint an epoch for a writer."""
        bits = self.random.getrandbits(5 * EPOCH_LENGTH)
        return "".join([EPOCH_CHARACTERS[bits >> 5 * place & 31] for place in range(EPOCH_LENGTH)])

    async def head(self, id: str) -> Head:
        """
        Say where a stream stands.

        Raises:
            StreamNotFound, StreamExpired: There is none.
        """
        tail = self.tails.get(id) if id in self.producers else None
        return tail.head if tail is not None and not tail.state.ended else await self.store.head(check_id(id))

    async def stream(self, id: str) -> Stream:
        """
        Find a stream.

        Raises:
            StreamNotFound, StreamExpired: There is none.
        """
        return Stream(self, await self.head(id))

    async def streams(
        self, *, states: frozenset[State] | None = None, before: tuple[float, str] | None = None, limit: int = 50
    ) -> list[Stream]:
        """List streams, newest first; see `Store.list`."""
        return [Stream(self, head) for head in await self.store.list(states=states, before=before, limit=limit)]

    @asynccontextmanager
    async def watch(self, id: str, *, glance: bool = False) -> AsyncIterator[Tail]:
        """
        Count as a reader of a stream, and share its tail.

        Args:
            id: The stream's.
            glance: Only look at what is there: that keeps no stream going which nobody follows (I6).

        Raises:
            StreamNotFound, StreamExpired: There is none.
        """
        tail = self.tails.get(id)
        if tail is None:
            tail = self.tails.setdefault(id, Tail(await self.store.head(check_id(id))))
        tail.readers += 1
        if not glance:
            tail.unwatched_since = None
        try:
            yield tail
        finally:
            tail.readers -= 1
            if not tail.readers and id in self.producers:
                if not glance or tail.unwatched_since is None:
                    tail.unwatched_since = asyncio.get_running_loop().time()
            elif not tail.readers and self.tails.get(id) is tail:
                del self.tails[id]

    async def look(self, tail: Tail) -> None:
        """Take into a tail what another process has written since."""
        head = await self.store.head(tail.id)
        tail.epochs = list(head.epochs)
        while tail.seq < head.seq and (entries := await self.store.read(tail.id, tail.seq)):
            tail.extend(entries)

    async def cancel(self, id: str, *, by: str = "caller") -> Stream | None:
        """
        Stop a stream: ask, close the upstream, seal (I14). Idempotent.

        Args:
            id: The stream's, also of one that does not exist yet.
            by: Who asks, for the log.

        Returns:
            The stream, ended unless sealing takes longer than `RECEIPT_S`; None if there is none yet, and the stop
            is remembered for its start.

        Raises:
            StreamExpired: It is forgotten.
            StoreUnavailable: The stop could not be logged.
        """
        check_id(id)
        producer = self.producers.get(id)
        if producer is None:
            head = await self._head_or_remember(id)
            if head is None:
                return None
            if not head.state.ended:
                await self._ask_to_stop(head, by)
        else:
            producer.cancel(by)
        stream = await self.stream(id)
        await stream.ended(wait_s=RECEIPT_S)
        return stream

    async def _head_or_remember(self, id: str) -> Head | None:
        for remember in (True, False):
            try:
                return await self.store.head(id)
            except StreamNotFound:
                if remember:
                    await self.store.remember_cancel(id, now=self.now())
        return None

    async def _ask_to_stop(self, head: Head, by: str) -> None:
        """Append the request to a log that another process writes, or that nobody does."""
        for _ in range(MAX_CANCEL_TRIES):
            asked = Entry(head.seq + 1, self.now(), *event(CANCEL_REQUESTED, {"by": by}))
            try:
                await self.store.append(head.id, [asked], after=head.seq, token=None)
                break
            except Conflict:
                head = await self.store.head(head.id)
            except StreamClosed:
                return
        if self.store.single_writer and head.id not in self.producers:
            await orphans.end(self, head.id)

    async def delete(self, id: str) -> None:
        """
        Forget an ended stream.

        Raises:
            StreamLive: It has not ended; stop it first.
            StreamNotFound, StreamExpired: There is none.
        """
        await self.store.delete(check_id(id))

    async def models(self) -> list[dict[str, Any]]:
        """
        List the default provider's models, as the Messages API shows them.

        Raises:
            UpstreamError: The provider does not tell.
        """
        source = next(iter(self.sources.values()))
        reply = await self._upstream.get(source.provider.models_call(), source.endpoint, connect_s=MODELS_S)
        try:
            body = await reply.body()
        finally:
            reply.close()
        if reply.status != 200:
            raise source.provider.failure(reply.status, reply.headers, body)
        return source.provider.models(body)

    async def drain(self, limit_s: float) -> None:
        """
        Start nothing new, let what is produced finish, and end as failed what does not in time.

        Args:
            limit_s: Seconds to let it.
        """
        self.draining = True
        while self._starting:
            await asyncio.wait(self._starting)
        tasks = [producer.task for producer in self.producers.values()]
        if tasks and limit_s > 0:
            await asyncio.wait(tasks, timeout=limit_s)
        for producer in list(self.producers.values()):
            producer.interrupt(
                StreamkeepError("The server went down before the answer was finished.", code="server_shutdown")
            )
        if tasks:
            await asyncio.wait(tasks, timeout=SHUTDOWN_S)
