"""Requests to a model's API over a real socket, with an API that does what a script says."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamkeep.errors import UpstreamBroken, UpstreamError, UpstreamGone, UpstreamTimeout
from streamkeep.providers.base import Call
from streamkeep.testing.fake_upstream import Answer, FakeUpstream, Fault
from streamkeep.testing.manual_clock import ManualClock, VirtualLoop
from streamkeep.upstream import LINGER_S, MAX_ERROR_BODY_BYTES, MAX_ERROR_BODY_S, Endpoint, Reply, Upstream

pytestmark = pytest.mark.anyio

CALL = Call(path="/v1/messages", headers={"content-type": "application/json"}, body=b'{"a":1}')


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on virtual time; this machine's own sockets are ready at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(max_connections=5) as opened:
        yield opened


async def ask(upstream: Upstream, api: FakeUpstream, connect_s: float = 5) -> Reply:
    return await upstream.send(CALL, Endpoint(api.base_url, {"x-api-key": "key"}), connect_s=connect_s)


async def read_all(reply: Reply) -> bytes:
    body = bytearray()

    def take(chunk: bytes) -> bool:
        body.extend(chunk)
        return False

    assert not await reply.each(take)
    return bytes(body)


async def read_once(reply: Reply) -> bytes:
    body = bytearray()

    def take(chunk: bytes) -> bool:
        body.extend(chunk)
        return True

    await reply.each(take)
    return bytes(body)


async def test_a_request_says_what_the_provider_wants_and_nothing_else(upstream: Upstream) -> None:
    """No header of the caller's, no cookie, no compression, no redirect: what goes out is listed."""
    async with FakeUpstream(Answer([b"x"], headers={"set-cookie": "a=b"})) as api:
        for _ in range(2):
            await read_all(await ask(upstream, api))

        request = api.requests[1]
    assert ("POST", "/v1/messages", b'{"a":1}') == (request.method, request.path, request.body)
    assert {
        "host": api.base_url.removeprefix("http://"),
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": "7",
        "user-agent": "streamkeep",
        "x-api-key": "key",
    } == request.headers


async def test_bytes_come_as_they_are_sent(upstream: Upstream) -> None:
    """What has arrived is given at once, without waiting for more."""
    more = asyncio.Event()
    async with FakeUpstream(Answer([b"first", more, b"second"])) as api:
        reply = await ask(upstream, api)
        first = await read_once(reply)
        more.set()

        assert (True, 200) == (reply.is_event_stream, reply.status)
        assert (b"first", b"second") == (first, await read_all(reply))


async def test_what_comes_compressed_all_the_same_is_inflated(upstream: Upstream) -> None:
    """A proxy that compresses without being asked does no harm."""
    async with FakeUpstream(Answer([gzip.compress(b"hello")], headers={"content-encoding": "gzip"})) as api:
        assert b"hello" == await read_all(await ask(upstream, api))


@pytest.mark.parametrize(
    "answer, error, code",
    [
        (Answer([b"x", Fault.CUT]), UpstreamBroken, "upstream_truncated"),
        (Answer([b"x", asyncio.Event()]), UpstreamGone, "upstream_reset"),
        (Answer([b"x"], headers={"content-length": "9"}, framed=False), UpstreamBroken, "upstream_truncated"),
    ],
    ids=["cut", "reset", "too short"],
)
async def test_a_body_that_breaks_says_how(
    upstream: Upstream, answer: Answer, error: type[UpstreamError], code: str
) -> None:
    """I3: an end that is none is an error; a reset is told from a body that merely ends too early."""
    reset = asyncio.Event()
    answer.steps = [reset if isinstance(step, asyncio.Event) else step for step in answer.steps]
    if reset in answer.steps:
        answer.steps.append(Fault.RESET)
    async with FakeUpstream(answer) as api:
        reply = await ask(upstream, api)
        assert b"x" == await read_once(reply)
        reset.set()

        with pytest.raises(error) as caught:
            await read_once(reply)
        reply.close()

    assert code == caught.value.code


async def test_a_body_that_ends_with_its_connection_just_ends(upstream: Upstream) -> None:
    """I3: whether the answer was whole is the provider's word, not the connection's."""
    async with FakeUpstream(Answer([b"x"], framed=False)) as api:
        assert b"x" == await read_all(await ask(upstream, api))


async def test_a_connection_is_used_again_after_its_answer(upstream: Upstream) -> None:
    """A finished answer gives its connection back, at once or when its body has ended by itself."""
    async with FakeUpstream(Answer([b"x"])) as api:
        for _ in range(3):
            reply = await ask(upstream, api)
            await read_all(reply)
            reply.finish()
        for _ in range(3):
            reply = await ask(upstream, api)
            await read_once(reply)
            reply.finish()
            await ManualClock().settle()
            await ManualClock().advance(LINGER_S / 2)

        assert (6, 1) == (len(api.requests), api.connections)


async def test_a_connection_that_the_api_has_let_go_is_replaced(upstream: Upstream) -> None:
    """Closing an idle connection is the API's right, and costs no attempt: nothing had been asked on it."""
    async with FakeUpstream(Answer([b"x"]), Answer(head=[Fault.CUT]), Answer([b"y"])) as api:
        got = [await read_all(await ask(upstream, api)) for _ in range(2)]

        assert [b"x", b"y"] == got
        assert (3, 2) == (len(api.requests), api.connections)


@pytest.mark.parametrize("steps", [[b"x", Fault.HANG], [b"x", Fault.CUT]])
async def test_a_body_that_does_not_end_by_itself_is_closed_soon(upstream: Upstream, steps: list[Any]) -> None:
    """I10: a finished answer's connection lingers no longer than its limit."""
    async with FakeUpstream(Answer(steps)) as api:
        reply = await ask(upstream, api)
        await read_once(reply)
        began = ManualClock().time
        reply.finish()

        await api.requests[0].finished.wait()

        assert ManualClock().time - began <= LINGER_S + 0.01
        assert (Fault.HANG in steps) == api.requests[0].abandoned


async def test_closing_is_seen_by_the_api_at_once(upstream: Upstream) -> None:
    """I14: a stop closes the connection, so the model stops too."""
    async with FakeUpstream(Answer([b"x", Fault.HANG])) as api:
        reply = await ask(upstream, api)
        await read_once(reply)
        began = ManualClock().time

        reply.close()
        reply.close()
        await api.requests[0].finished.wait()

        assert api.requests[0].abandoned
        assert 0 == pytest.approx(ManualClock().time - began, abs=0.01)


async def test_a_redirect_is_not_followed(upstream: Upstream) -> None:
    """The key goes nowhere else."""
    async with FakeUpstream(Answer(status=307, headers={"location": "/elsewhere"})) as api:
        reply = await ask(upstream, api)

        assert (307, False, 1) == (reply.status, reply.is_event_stream, len(api.requests))
        reply.close()


async def test_an_errors_body_is_read_up_to_a_limit(upstream: Upstream) -> None:
    """I10: its first part says what is wrong, however much there is or however slow it comes."""
    async with FakeUpstream(
        Answer([b"x" * 50_000] * 4, status=500), Answer([b"slow", Fault.HANG], status=500), Answer([b"cut", Fault.CUT])
    ) as api:
        began = ManualClock().time
        bodies = []
        for _ in range(3):
            reply = await ask(upstream, api)
            bodies.append(await reply.body())
            reply.close()

    assert [b"x" * MAX_ERROR_BODY_BYTES, b"slow", b"cut"] == bodies
    assert MAX_ERROR_BODY_S == pytest.approx(ManualClock().time - began, abs=0.1)


async def test_nobody_there_is_unreachable(upstream: Upstream) -> None:
    """A refused connection says what to check."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(UpstreamGone, match="Check the base URL") as caught:
        await upstream.send(CALL, Endpoint(f"http://127.0.0.1:{port}", {}), connect_s=5)

    assert caught.value.retryable


@pytest.mark.parametrize(
    "head, error",
    [
        ([b"SSH-2.0-OpenSSH\r\n\r\n", Fault.CUT], UpstreamBroken),
        ([Fault.CUT], UpstreamGone),
        ([Fault.RESET], UpstreamGone),
    ],
)
async def test_what_does_not_answer_in_http_is_no_api(
    upstream: Upstream, head: list[Any], error: type[UpstreamError]
) -> None:
    """Another protocol, or a connection that breaks before the answer, is told as what it is."""
    async with FakeUpstream(Answer(head=head)) as api:
        with pytest.raises(error):
            await ask(upstream, api)


async def test_a_turn_for_a_connection_comes_in_time_or_not_at_all() -> None:
    """I10: connections are counted, and waiting for one is bounded."""
    async with FakeUpstream(Answer([b"x", Fault.HANG])) as api, Upstream(max_connections=1) as narrow:
        first = await ask(narrow, api)
        began = ManualClock().time

        with pytest.raises(UpstreamTimeout, match="within 3 s") as caught:
            await ask(narrow, api, connect_s=3)

        assert 3 == pytest.approx(ManualClock().time - began, abs=0.1)
        assert "upstream_connect_timeout" == caught.value.code
        first.close()


async def test_a_connection_lost_while_it_opened_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: an API that hangs up at once is told as gone, and does not use up the places for connections."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def lose(*args: Any, **options: Any) -> Any:
        transport, connection = await connect(*args, **options)
        transport.abort()
        connection.connection_lost(None)
        return transport, connection

    async with FakeUpstream(Answer([b"x"])) as api, Upstream(max_connections=1) as narrow:
        monkeypatch.setattr(loop, "create_connection", lose)
        for _ in range(2):
            with pytest.raises(UpstreamGone, match="before it answered"):
                await ask(narrow, api, connect_s=1)
        monkeypatch.undo()

        assert b"x" == await read_all(await ask(narrow, api, connect_s=1))


async def test_a_small_document_is_asked_for_without_a_body(upstream: Upstream) -> None:
    """A list of models is no stream."""
    async with FakeUpstream(Answer([b"{}"], headers={"content-type": "application/json"})) as api:
        call = Call(path="/v1/models", headers={"a": "b"}, body=b"")
        reply = await upstream.get(call, Endpoint(api.base_url, {}), connect_s=5)

        assert (b"{}", False) == (await reply.body(), reply.is_event_stream)
        reply.close()
        assert ("GET", b"", "b") == (api.requests[0].method, api.requests[0].body, api.requests[0].headers["a"])


async def test_what_lingers_is_ended_with_the_pool() -> None:
    """Nothing outlives its owner."""
    async with FakeUpstream(Answer([b"x", Fault.HANG])) as api:
        async with Upstream(max_connections=5) as opened:
            reply = await ask(opened, api)
            await read_once(reply)
            reply.finish()
            began = ManualClock().time
        await api.requests[0].finished.wait()

    assert ManualClock().time - began < LINGER_S


async def test_a_pool_that_was_never_opened_can_be_closed() -> None:
    """Closing twice, or without opening, is nothing."""
    await Upstream(max_connections=1).__aexit__(None, None, None)


def test_an_endpoint_knows_its_secrets() -> None:
    """What must never be shown can be named."""
    assert ("k1", "k2") == Endpoint("http://x", {"a": "k1", "b": "k2"}).secrets
