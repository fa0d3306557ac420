"""
Every recorded answer of the Messages API, through the whole path, into the official SDK.

    recording, cut at random ─▶ socket ─▶ server process ─▶ SQLite ─▶ socket ─▶ `anthropic` SDK

What is right is said by the SDK reading the recording itself, and by the recording's own bytes.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

import anthropic
import httpx2
import pytest
from aiohttp import web

from tests.e2e.conftest import Serve
from tests.e2e.processes import ServerProcess
from tests.e2e.reading import read
from tests.recordings import Recording, anthropic_recordings

pytestmark = [pytest.mark.e2e, pytest.mark.interop]

LONGEST_CHUNK = 300
"""Bytes of a chunk at most: about two events, so that most cuts fall inside one."""

BY_NAME = {str(each): each for each in anthropic_recordings()}


class Variant(NamedTuple):
    """One way to send a recording."""

    crlf: bool
    seed: int


AS_RECORDED = Variant(crlf=False, seed=1)
VARIANTS = {"sync": AS_RECORDED, "async": Variant(crlf=False, seed=2), "crlf": Variant(crlf=True, seed=3)}


def body_of(recording: Recording, variant: Variant) -> bytes:
    body = recording.sse_bytes()
    return body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if variant.crlf else body


def cuts(body: bytes, random: Random) -> list[int]:
    """Choose where chunks end: at random, and always inside characters and between CR and LF."""
    places = {len(body)}
    at = 0
    while at < len(body):
        at += random.randint(1, 3 if random.random() < 0.1 else LONGEST_CHUNK)
        places.add(min(at, len(body)))
    inside = [at for at in range(1, len(body)) if body[at] & 0xC0 == 0x80]
    between = [at for at in range(1, len(body)) if body[at - 1 : at + 1] == b"\r\n"]
    for tender in (inside, between):
        places.update(random.sample(tender, min(len(tender), 200)))
    return sorted(places)


async def play(request: web.Request) -> web.StreamResponse:
    """Answer with the recording that the model names."""
    name, _, seed = (await request.json())["model"].partition("?")
    variant = next(each for each in VARIANTS.values() if each.seed == int(seed))
    body = body_of(BY_NAME[name], variant)
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    start = 0
    for end in cuts(body, Random(seed)):
        await response.write(body[start:end])
        await asyncio.sleep(0)
        start = end
    await response.write_eof()
    return response


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """Serve the recordings on a thread of their own; give the base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> web.AppRunner:
        application = web.Application(client_max_size=2**20)
        application.router.add_post("/v1/messages", play)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def replaying(serve: Serve, upstream: str) -> ServerProcess:
    """Give one server for all recordings; a truncated one is not asked for again."""
    return serve("--retries", "0", upstream=upstream)


@pytest.fixture(scope="module")
def client(replaying: ServerProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=replaying.url, api_key="any", max_retries=0, timeout=20) as client:
        yield client


# ---------------------------------------------------------------------------------------------------------------------
# What is right


class Verdict(NamedTuple):
    """What must come of a recording, by its own events."""

    state: str
    code: str | None
    events: list[bytes]
    """The payloads that the log must hold, in order."""


def verdict(recording: Recording) -> Verdict:
    """
    Judge a recording: it is an answer if its events are JSON, begin once and come to `message_stop`.

    What stands behind the first thing that is wrong is not part of the answer. An `error` event is a failure, too.
    """
    events: list[bytes] = []
    started = False
    for payload in recording.payloads():
        try:
            kind = json.loads(payload)["type"]
        except (ValueError, KeyError):
            return Verdict("failed", "upstream_malformed", events)
        if kind == "ping":
            continue
        if kind == "error":
            return Verdict("failed", "upstream_overloaded", events)
        if kind == "message_start" and started:
            return Verdict("failed", "upstream_malformed", events)
        started = started or kind == "message_start"
        events.append(payload)
        if kind == "message_stop":
            return Verdict("completed", None, events)
    return Verdict("failed", "upstream_truncated", events)


def read_directly(recording: Recording, *, beta: bool = False) -> dict[str, Any]:
    """Let the SDK read the recording without anything in between."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx2.Response(200, headers=headers, content=recording.sse_bytes())

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with anthropic.Anthropic(base_url="http://recording", api_key="any", http_client=transport) as client:
        return asked_beta(client, "any") if beta else asked(client, "any")[0]


def asked_beta(client: anthropic.Anthropic, model: str) -> dict[str, Any]:
    """Stream a message with the beta client, which knows more kinds of blocks and members."""
    question: Any = [{"role": "user", "content": "Hi"}]
    with client.beta.messages.stream(model=model, max_tokens=99, messages=question) as stream:
        return stream.get_final_message().to_dict(warnings=False)


def asked(client: anthropic.Anthropic, model: str) -> tuple[dict[str, Any], str]:
    """Stream a message; give it and the stream's id."""
    with client.messages.stream(model=model, max_tokens=99, messages=[{"role": "user", "content": "Hi"}]) as stream:
        return stream.get_final_message().to_dict(warnings=False), stream.response.headers.get("x-stream-id", "")


def asked_async(base_url: str, model: str) -> tuple[dict[str, Any], str]:
    """Do the same with the asynchronous client."""

    async def ask() -> tuple[dict[str, Any], str]:
        async with (
            anthropic.AsyncAnthropic(base_url=base_url, api_key="any", max_retries=0, timeout=20) as client,
            client.messages.stream(model=model, max_tokens=99, messages=[{"role": "user", "content": "Hi"}]) as stream,
        ):
            return (await stream.get_final_message()).to_dict(warnings=False), stream.response.headers["x-stream-id"]

    return asyncio.run(ask())


def logged(server: ServerProcess, id: str) -> list[bytes]:
    """Give the data of the provider's events in a log, as the native wire shows them."""
    body = read(server.url, f"/v1/streams/{id}/events")
    assert body.clean
    return [frame.data for frame in body.frames if not frame.name.startswith("stream.")]


# ---------------------------------------------------------------------------------------------------------------------
# The tests


@pytest.mark.parametrize("way", list(VARIANTS))
@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_a_recording_arrives_whole(
    replaying: ServerProcess, client: anthropic.Anthropic, recording: Recording, way: str
) -> None:
    """I1, I3, I8: however it is cut, the SDK reads the message of the recording, and the log holds its very bytes.

    Where the recording is no whole answer by its own events, the SDK raises, the stream is `failed` with the code that
    says why, and the log holds what came before.
    """
    right = verdict(recording)
    model = f"{recording}?{VARIANTS[way].seed}"
    ask: Callable[[], tuple[dict[str, Any], str]] = (
        (lambda: asked_async(replaying.url, model)) if way == "async" else (lambda: asked(client, model))
    )
    if right.state == "completed":
        message, id = ask()

        assert read_directly(recording) == message
    else:
        with pytest.raises(anthropic.APIStatusError):
            ask()
        id = replaying.call("GET", "/v1/streams?limit=1").json["data"][0]["id"]

    shown = replaying.show(id)
    assert (right.state, right.code) == (shown["state"], (shown["error"] or {}).get("code"))
    assert right.events == logged(replaying, id)


def test_most_recordings_are_answers() -> None:
    """The rule that excuses a recording excuses few of them; without recordings there is nothing to say."""
    if not BY_NAME:
        pytest.skip("no recordings")
    states = [verdict(each).state for each in BY_NAME.values()]

    assert states.count("completed") >= len(states) - 3


@pytest.mark.parametrize(
    "recording", [each for each in anthropic_recordings() if verdict(each).state == "completed"], ids=str
)
def test_the_same_message_without_streaming(client: anthropic.Anthropic, recording: Recording) -> None:
    """I8: a caller that does not stream gets the message that the beta client puts together from the events."""
    model = f"{recording}?{AS_RECORDED.seed}"
    question: Any = [{"role": "user", "content": "Hi"}]
    message = client.beta.messages.create(model=model, max_tokens=99, messages=question)

    assert read_directly(recording, beta=True) == message.to_dict(warnings=False)
