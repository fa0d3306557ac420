"""
Produce one stream: ask the upstream, log what comes, and seal the log with exactly one ending.

Strategy
    One task per stream. Per chunk of the upstream it cuts the bytes, reads the names and hands the events to the
    writer; no task, timer or lock per event. What must interrupt it (a stop, a watchdog, a lost lease, the server
    going down) cancels the task's wait with a reason; sealing itself cannot be interrupted.

Laws
    1. Until something visible came, events are held back: an attempt that breaks before leaves no trace but its
       `stream.attempt`, and readers see one `message_start`.
    2. An answer is complete if its provider said so, never because its body ended (I3).
    3. The upstream is closed before the log is sealed (I14).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from streamkeep import sse
from streamkeep.entry import ATTEMPT, CANCEL_REQUESTED, VISIBLE, Entry, Event, event
from streamkeep.errors import SseError, StreamkeepError, UpstreamBroken, UpstreamError, UpstreamTimeout
from streamkeep.lifecycle import State
from streamkeep.providers.base import Call, Parser, Provider
from streamkeep.relay import clearance, ending, recovery
from streamkeep.relay.policy import Policy, Start
from streamkeep.relay.sealing import Folded, fold_log, write_ending
from streamkeep.relay.tail import Tail
from streamkeep.relay.watchdog import Watchdog
from streamkeep.relay.writer import MAX_UNCOMMITTED_BYTES, Writer
from streamkeep.stores.base import Lease, Store
from streamkeep.upstream import Endpoint, Reply, Upstream

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Largest event of an upstream, in bytes; the longest recorded is 40 KB, a web search's result."""

MAX_HELD_EVENTS = 1000
"""Events held back while nothing is visible; real answers begin with two."""

SHOWN_HEADERS = ("retry-after", "x-should-retry")
"""What of an upstream's response headers the starter may see, besides `…-ratelimit-…`."""


_log = logging.getLogger(__name__)


class Source(msgspec.Struct, frozen=True):
    """A provider that can be asked: its dialect and where it is."""

    name: str
    """As in `provider=`."""
    provider: Provider
    endpoint: Endpoint
    default_model: str
    """Asked for when a start names none."""


class Producer:
    """
    The one writer of one stream.

    Args:
        start: What was asked.
        source: Whom to ask.
        call: The request made of it.
        lease: The right to write.
        upstream: The pool of connections.
        store: The log.
        tail: The log's shared end.
        now: Gives seconds since the Unix epoch.
        random: For jitter.
    """

    def __init__(
        self,
        start: Start,
        source: Source,
        call: Call,
        *,
        lease: Lease,
        upstream: Upstream,
        store: Store,
        tail: Tail,
        now: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._start = start
        self._source = source
        self._call = call
        self._upstream = upstream
        self._store = store
        self._tail = tail
        self._now = now
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._accepted = self._loop.time()
        self._first_visible: float | None = None
        self._held: list[Event] = []
        self._interruption: StreamkeepError | None = None
        self._timeout: UpstreamTimeout | None = None
        self._stop: ending.Stop | None = None
        self._stop_at = 0.0
        self._interruptible = False
        self._complete = False
        self._attempt = 0
        self._why = ""
        self._waited_s = 0.0
        self._watchdog = Watchdog(start.policy.timeouts, self._time_out)
        self._writer = Writer(store, lease, tail, now=now, missed=self.missed, lost=self.interrupt)
        self._task: asyncio.Task[None] | None = None

    @property
    def policy(self) -> Policy:
        """Give the stream's policy."""
        return self._start.policy

    @property
    def lease(self) -> Lease:
        """Give the right to write that this producer holds."""
        return self._writer.lease

    @property
    def task(self) -> asyncio.Task[None]:
        """Give the running task; it ends when the log is sealed or lost to another writer."""
        assert self._task is not None, "not running"
        return self._task

    def run(self) -> asyncio.Task[None]:
        """Begin."""
        if self._tail.state is State.CANCELLING:
            self._note_stop("caller")
        self._task = self._loop.create_task(self._run(), name=f"producer {self._tail.id}")
        return self._task

    def cancel(self, by: str) -> None:
        """
        Stop: log the request, close the upstream, seal. Idempotent; too late once sealing has begun.

        Raises:
            StoreError: The request cannot be logged.
        """
        if self._stop is not None or self._tail.state.ended:
            return
        self._writer.write([event(CANCEL_REQUESTED, {"by": by})])
        self._note_stop(by)
        self._break_off()

    def interrupt(self, reason: StreamkeepError) -> None:
        """End the stream for a reason other than a stop; the first reason counts."""
        if self._interruption is None:
            self._interruption = reason
        self._break_off()

    def missed(self, entries: Sequence[Entry]) -> None:
        """React to what others wrote into this log: a stop request from another node."""
        for entry in entries:
            if entry.name == CANCEL_REQUESTED and self._stop is None:
                self._note_stop(str(entry.json().get("by", "caller")))
                self._break_off()

    def _time_out(self, error: UpstreamTimeout) -> None:
        """Break off an attempt that hangs; whether there is another is for the ladder to say."""
        self._timeout = error
        self._break_off()

    def _note_stop(self, by: str) -> None:
        self._stop = ending.Stop(by=by, requested_at=self._now(), upstream_closed_ms=None)
        self._stop_at = self._loop.time()

    def _break_off(self) -> None:
        task = self._task
        if self._interruptible and task is not None and task is not asyncio.current_task():
            self._interruptible = False
            task.cancel()

    @property
    def _interrupted(self) -> bool:
        return self._stop is not None or self._interruption is not None

    @property
    def _broken_off(self) -> bool:
        return self._interrupted or self._timeout is not None

    @property
    def _reason(self) -> StreamkeepError | None:
        return self._interruption or self._timeout

    async def _run(self) -> None:
        try:
            failure = await self._produce()
        except Exception:  # A mistake of ours must end the stream too, or its readers would wait for ever.
            _log.exception("stream %s: producing it failed", self._tail.id)
            failure = StreamkeepError("The server made a mistake while it produced this answer.")
        await self._seal(failure)

    async def _produce(self) -> StreamkeepError | None:
        """Try until the answer is complete, the ladder ends or somebody interrupts; give what went wrong."""
        while True:
            failure = await self._interruptibly(self._try())
            if failure is None or self._interrupted:
                return failure
            broken = recovery.Break(failure, self._attempt, self._first_visible is not None, self._waited_s)
            step = recovery.next_step(broken, self.policy, self._random)
            if not isinstance(step, recovery.Retry):
                return failure
            self._why = failure.code
            self._waited_s += step.delay_s
            self._held.clear()
            await self._interruptibly(asyncio.sleep(step.delay_s))

    async def _interruptibly(self, work: Awaitable[None]) -> StreamkeepError | None:
        """Do something that a stop or an interruption may break off; give what went wrong."""
        self._timeout = None
        self._interruptible = not self._interrupted
        try:
            if self._interruptible:
                await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not self._broken_off:
                raise
            task.uncancel()
        except StreamkeepError as error:
            return self._reason or error
        finally:
            self._interruptible = False
            if asyncio.iscoroutine(work):
                work.close()
        return self._reason

    async def _try(self) -> None:
        """Make one attempt; return when the answer is complete or interrupted."""
        self._attempt += 1
        source, request = self._source, self._start.request
        why = {"why": "start"} if self._attempt == 1 else {"why": "retry", "after": self._why}
        attempt = {"n": self._attempt, "provider": source.name, "model": request.get("model"), **why}
        self._writer.write([event(ATTEMPT, attempt)])
        self._watchdog.begin()
        reply = None
        try:
            if self._broken_off:  # by the store or the total limit, in this very turn
                return
            reply = await self._upstream.send(self._call, source.endpoint, connect_s=self.policy.timeouts.connect)
            await self._check(reply)
            await self._read(reply, source.provider.parser())
            if self._complete:
                reply.finish()
                reply = None
        finally:
            self._watchdog.stop()
            if reply is not None:
                reply.close()

    async def _check(self, reply: Reply) -> None:
        """Refuse a response that is no stream."""
        self._tail.reply_headers = {
            name: value
            for name, value in reply.headers.items()
            if (name in SHOWN_HEADERS or "-ratelimit-" in name) and clearance.plain(value)
        }
        if reply.is_event_stream:
            return
        if 200 <= reply.status < 300:
            raise _not_a_stream("The model's API answered 200 with something that is no event stream.", "content_type")
        if 300 <= reply.status < 400:
            raise _not_a_stream("The model's API answered with a redirect, which is not followed.", "redirect")
        raise self._source.provider.failure(reply.status, reply.headers, await reply.body())

    async def _read(self, reply: Reply, parser: Parser) -> None:
        decoder = sse.Decoder(max_line=MAX_EVENT_BYTES, max_message=MAX_EVENT_BYTES)

        def take(chunk: bytes) -> bool:
            self._watchdog.life()
            if messages := _cut(decoder, chunk):
                self._take(parser, messages)
                if self._writer.uncommitted_bytes > MAX_UNCOMMITTED_BYTES:
                    self._hold_off(reply)
            return self._complete or self._interrupted

        if not await reply.each(take):
            _cut(decoder, b"")  # An event that is too large is named as such, and not as a cut.
            raise UpstreamBroken(
                "The model's API ended its answer in the middle, without its last event.", code="upstream_truncated"
            )

    def _hold_off(self, reply: Reply) -> None:
        """Read no more until the store has taken what waits."""
        reply.pause()
        self._watchdog.stop()  # It is not the upstream that is slow.

        def go_on() -> None:
            if self._interruptible:
                self._watchdog.go_on()
                reply.resume()

        self._writer.when_idle(go_on)

    def _take(self, parser: Parser, messages: list[sse.SseMessage]) -> None:
        """Log what came: the hot path."""
        self._watchdog.event()
        events = parser.feed(messages)
        if events:
            self._watchdog.content()
            if self._first_visible is None:
                events = self._hold(events)
            if events:
                self._writer.write(events)
        if parser.failure is not None:
            raise parser.failure
        self._complete = parser.ended

    def _hold(self, events: list[Event]) -> list[Event]:
        """Keep events back until one shows something, then give them all."""
        self._held += events
        if not any(name in VISIBLE for name, _ in events):
            if len(self._held) > MAX_HELD_EVENTS:
                raise UpstreamBroken(
                    f"The model's API sent {MAX_HELD_EVENTS} events without any content.", code="upstream_malformed"
                )
            return []
        self._first_visible = self._loop.time()
        held, self._held = self._held, []
        return held

    async def _seal(self, failure: StreamkeepError | None) -> None:
        if self._stop is not None and self._attempt:
            closed_ms = round((self._loop.time() - self._stop_at) * 1000, 1)
            self._stop = msgspec.structs.replace(self._stop, upstream_closed_ms=closed_ms)
        failure = await self._settle() or failure
        folded = await fold_log(self._store, self._tail)
        await write_ending(self._writer, self._tail, lambda: self._ending(folded, failure))

    async def _settle(self) -> StreamkeepError | None:
        """Wait until all that was received is durable; give the store's error if part of it never will be."""
        try:
            if self._held:
                self._writer.write(self._held)
            await self._writer.flush()
        except StreamkeepError as error:
            self._writer.recover()
            return error
        return None

    def _ending(self, folded: Folded, failure: StreamkeepError | None) -> list[Event]:
        timing = ending.Timing(accepted=self._accepted, first_visible=self._first_visible, ended=self._loop.time())
        failure = failure or folded.error
        if self._stop is not None and not self._complete:
            asked = [] if self._tail.state is State.CANCELLING else [event(CANCEL_REQUESTED, {"by": self._stop.by})]
            return [*asked, ending.cancelled(folded.fold, timing, self._stop)]
        if failure is None:
            return [ending.completed(folded.fold, timing)]
        return [ending.failed(folded.fold, timing, failure, self._text(failure))]

    def _text(self, error: StreamkeepError) -> str:
        if not isinstance(error, UpstreamError):
            return error.message
        return clearance.shown(error, self._start.request, self._source.endpoint.secrets)


def _cut(decoder: sse.Decoder, chunk: bytes) -> list[sse.SseMessage]:
    try:
        return decoder.feed(chunk)
    except SseError as error:
        raise UpstreamBroken(
            f"The model's API sent an event of more than {MAX_EVENT_BYTES} bytes.", code="upstream_event_too_large"
        ) from error


def _not_a_stream(message: str, what: str) -> UpstreamBroken:
    return UpstreamBroken(
        f"{message} Check the base URL, and what stands between.", code=f"upstream_bad_{what}", retryable=False
    )
