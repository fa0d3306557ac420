"""An upstream without a socket, the answers it gives, and a relay that asks it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec

from streamkeep import registry
from streamkeep.connection import Taker
from streamkeep.entry import Entry
from streamkeep.errors import StreamkeepError
from streamkeep.providers.base import Call
from streamkeep.relay import Relay, Stream
from streamkeep.relay.producer import Source
from streamkeep.stores.base import Store
from streamkeep.testing.fake_upstream import Fault
from streamkeep.testing.manual_clock import ManualClock
from streamkeep.upstream import Endpoint, Reply, Upstream

KEY = "sk-very-secret-key"


def sse(name: str, **members: Any) -> bytes:
    """Write one event of the Messages API, by hand."""
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode({"type": name, **members}) + b"\n\n"


PING = sse("ping")
MESSAGE_START = sse(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
)
BLOCK_START = sse("content_block_start", index=0, content_block={"type": "text", "text": ""})
THINKING_START = sse("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})
BLOCK_STOP = sse("content_block_stop", index=0)
MESSAGE_DELTA = sse(
    "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 7}
)
MESSAGE_STOP = sse("message_stop")
OPENING = MESSAGE_START + BLOCK_START
CLOSING = BLOCK_STOP + MESSAGE_DELTA + MESSAGE_STOP

# The log of an answer of two pieces.
NAMES = [
    "stream.accepted",
    "stream.attempt",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "stream.completed",
]


def delta(text: str, index: int = 0) -> bytes:
    """Write one piece of text."""
    return sse("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def overloaded() -> bytes:
    """Write the error that an overloaded API sends inside a 200."""
    return sse("error", error={"type": "overloaded_error", "message": "Overloaded"})


def whole(*texts: str) -> bytes:
    """Write an answer from its first event to its last."""
    return OPENING + b"".join(delta(text) for text in texts) + CLOSING


@dataclass
class Wait:
    """Let time pass before the next step."""

    seconds: float


Step = bytes | Wait | asyncio.Event | Fault | StreamkeepError


def paced(text: str, seconds: float = 1) -> list["Step"]:
    """Say a text letter by letter, with a pause after each."""
    steps: list[Step] = []
    for letter in text:
        steps += [delta(letter), Wait(seconds)]
    return steps


@dataclass
class Script:
    """One answer: what `send` does, then what `read` gives, step by step; the body ends after the last."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    before: Sequence[Step] = ()
    """Happens before the headers come."""


class ScriptedReply(Reply):
    """A response that follows a script."""

    def __init__(self, script: Script, now: Callable[[], float]) -> None:
        self.status = script.status
        self.headers = {"content-type": "text/event-stream", **script.headers}
        self.closed_at: float | None = None
        self.finished = False
        self._steps = list(script.steps)
        self._now = now
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()

    @property
    def is_event_stream(self) -> bool:
        return self.status == 200 and self.headers["content-type"].startswith("text/event-stream")

    async def each(self, take: Taker) -> bool:
        while self._steps:
            chunk = await play(self._steps.pop(0))
            await self._may_go_on.wait()
            if chunk and take(chunk):
                return True
        return False

    def pause(self) -> None:
        self._may_go_on.clear()

    def resume(self) -> None:
        self._may_go_on.set()

    async def body(self) -> bytes:
        body = bytearray()

        def take(chunk: bytes) -> bool:
            body.extend(chunk)
            return False

        await self.each(take)
        return bytes(body)

    def close(self) -> None:
        self.closed_at = self._now()

    def finish(self) -> None:
        self.finished = True


async def play(step: Step) -> bytes:
    """Do what a step says; give its bytes."""
    await asyncio.sleep(0)
    if isinstance(step, bytes):
        return step
    if isinstance(step, Wait):
        await ManualClock().advance(step.seconds)
    elif isinstance(step, asyncio.Event):
        await step.wait()
    elif isinstance(step, Exception):
        raise step
    else:
        await asyncio.get_running_loop().create_future()
    return b""


class ScriptedUpstream(Upstream):
    """Gives its answers in turn, the last one again and again."""

    def __init__(self, *answers: Script | bytes) -> None:
        self.answers = [Script([each]) if isinstance(each, bytes) else each for each in answers] or [Script()]
        self.calls: list[Call] = []
        self.called_at: list[float] = []
        self.replies: list[ScriptedReply] = []
        self.opened = self.closed = 0

    async def __aenter__(self) -> Self:
        self.opened += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1

    async def send(self, call: Call, endpoint: Endpoint, *, connect_s: float) -> Reply:
        script = self.answers[min(len(self.calls), len(self.answers) - 1)]
        self.calls.append(call)
        now = ManualClock().now
        self.called_at.append(now())
        for step in script.before:
            await play(step)
        reply = ScriptedReply(script, now)
        self.replies.append(reply)
        return reply

    async def get(self, call: Call, endpoint: Endpoint, *, connect_s: float) -> Reply:
        return await self.send(call, endpoint, connect_s=connect_s)


@dataclass
class Stage:
    """A relay, whom it asks, and what one does with it in a test."""

    relay: Relay
    upstream: ScriptedUpstream
    clock: ManualClock

    async def start(self, **request: Any) -> Stream:
        """Start a stream."""
        return await self.relay.start({"prompt": "Tell me something", **request})

    async def run(self, **request: Any) -> Stream:
        """Start a stream and wait for its end."""
        stream = await self.start(**request)
        assert await stream.ended()
        await self.clock.settle()
        return stream

    async def log(self, stream: Stream) -> list[Entry]:
        """Give the whole log as the store has it."""
        return await read_all(self.relay.store, stream.id)

    async def names(self, stream: Stream) -> list[str]:
        """Give the names of the log's entries."""
        return [entry.name for entry in await self.log(stream)]

    async def ending(self, stream: Stream) -> dict[str, Any]:
        """Give the last entry's data, with its name under `name`."""
        last = (await self.log(stream))[-1]
        return {"name": last.name, **last.json()}


async def read_all(store: Store, id: str) -> list[Entry]:
    """Read a log page by page."""
    entries: list[Entry] = []
    while page := await store.read(id, len(entries)):
        entries += page
    return entries


def source(name: str = "anthropic") -> Source:
    """Make a source that speaks the Messages API."""
    return Source(name, registry.provider("anthropic"), Endpoint("http://upstream", {"x-api-key": KEY}), "m")


def staged(clock: ManualClock, upstream: ScriptedUpstream, *, store: Store, **options: Any) -> Stage:
    """Make a relay, not opened yet; random numbers are a half, so that a pause of jitter is half its longest."""
    options = {"now": clock.now, "random": Half(7), **options}
    return Stage(Relay(store, {"anthropic": source()}, upstream=upstream, **options), upstream, clock)


class Half(random.Random):
    """Jitter of one half; ids and epochs differ."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._other = random.Random(seed)

    def random(self) -> float:
        return 0.5

    def getrandbits(self, k: int, /) -> int:
        return self._other.getrandbits(k)

    def choices(self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1) -> list[Any]:
        return self._other.choices(population, k=k)


Maker = Callable[..., Awaitable[Stage]]
"""What the fixture `stage` gives."""
