"""The official clients take the simulator for the Messages API."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import anyio.to_thread
import pytest

from streamkeep.errors import BadRequest
from streamkeep.simulator import Chunking, Outcome, Simulator
from tests.recordings import Recording, anthropic_recordings, recordings_folder
from tests.simulator.asking import GET_TIDES, body

pytestmark = pytest.mark.anyio

SHORT = [each for each in anthropic_recordings() if each.events < 30][:6]
"""Recordings that can be sent byte by byte in a moment."""

PROMPTS: list[tuple[str, dict[str, Any]]] = [
    ("hello", {}),
    ("long", {}),
    ("think", {}),
    ("hello", {"thinking": {"type": "adaptive", "display": "omitted"}}),
    ("use a tool", {}),
    ("think, then get_tides", {"tools": [GET_TIDES]}),
    ("get_tides", {"tools": [GET_TIDES], "max_tokens": 14}),
    ("cite", {}),
    ("refuse bio", {}),
    ("count to 100", {"stop_sequences": ["77"]}),
    ("count to 100", {"max_tokens": 50}),
    ("emoji, japanese, arabic, hindi, thai, a table and code", {}),
    ("json", {}),
    ("echo: \u2028 A\ufeffB \U0001f469\U0001f3fd\u200d\U0001f680", {}),
]


@pytest.mark.interop
@pytest.mark.parametrize("prompt, more", PROMPTS, ids=lambda value: str(value)[:40])
async def test_a_stream_and_a_message_are_equal(
    client: anthropic.AsyncAnthropic, prompt: str, more: dict[str, Any]
) -> None:
    """What the SDK folds from the stream is what it gets without one."""
    asked = body(prompt, **more)
    async with client.messages.stream(**asked) as stream:
        folded = await stream.get_final_message()
    whole = await client.messages.create(**asked)

    assert whole.to_dict() == folded.to_dict()


@pytest.mark.interop
async def test_the_sync_client_reads_it_too(simulator: Simulator) -> None:
    """The other half of the SDK."""

    def read() -> tuple[str, str]:
        with (
            anthropic.Anthropic(base_url=simulator.base_url, api_key="any", max_retries=0) as client,
            client.messages.stream(**body("count to 5")) as stream,
        ):
            return "".join(stream.text_stream), str(stream.request_id)

    text, request_id = await anyio.to_thread.run_sync(read)

    assert "1, 2, 3, 4, 5" == text
    assert request_id.startswith("req_01")


@pytest.mark.interop
async def test_models_are_listed_and_tokens_counted(client: anthropic.AsyncAnthropic) -> None:
    """Page after page."""
    listed = [model.id async for model in client.models.list(limit=2)]
    counted = await client.messages.count_tokens(model="simulated-1", messages=body()["messages"])
    message = await client.messages.create(**body())

    assert ["simulated-1", "simulated-1-fast", "simulated-1-thinking"] == listed
    assert "Simulated 1" == (await client.models.retrieve("simulated-1")).display_name
    assert counted.input_tokens == message.usage.input_tokens


@pytest.mark.interop
@pytest.mark.parametrize(
    "refuse, error",
    [
        ("400", anthropic.BadRequestError),
        ("401", anthropic.AuthenticationError),
        ("403", anthropic.PermissionDeniedError),
        ("404", anthropic.NotFoundError),
        ("413", anthropic.APIStatusError),
        ("429", anthropic.RateLimitError),
        ("500", anthropic.InternalServerError),
        ("529", anthropic.InternalServerError),
    ],
)
async def test_a_refusal_is_the_sdks_own_error(
    client: anthropic.AsyncAnthropic, refuse: str, error: type[anthropic.APIStatusError]
) -> None:
    """With the status, and the request's id."""
    with pytest.raises(error) as raised:
        await client.messages.create(**body(model=f"simulated-1?refuse={refuse}"))

    assert int(refuse) == raised.value.status_code
    assert str(raised.value.request_id).startswith("req_01")


@pytest.mark.interop
@pytest.mark.parametrize("refuse", ["error-first", "error-after:5"])
async def test_an_error_event_is_the_sdks_error_with_status_200(client: anthropic.AsyncAnthropic, refuse: str) -> None:
    """As measured against the SDK: it is no OverloadedError."""
    with pytest.raises(anthropic.APIStatusError) as raised:
        async with client.messages.stream(**body(model=f"simulated-1?refuse={refuse}")) as stream:
            await stream.get_final_message()

    assert (200, "overloaded_error") == (raised.value.status_code, raised.value.type)


@pytest.mark.interop
async def test_the_sdk_retries_until_it_is_served(simulator: Simulator) -> None:
    """Two refusals cost two retries; the count of each request is noted."""
    async with anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="any", max_retries=2) as client:
        model = "simulated-1?refuse=429&refuse_times=2&retry_after=0.01"
        message = await client.messages.create(**body("echo: at last", model=model))

    assert "at last" == message.content[0].text
    assert ["0", "1", "2"] == [record.headers["x-stainless-retry-count"] for record in simulator.requests]
    assert 2 == simulator.statistics().refused


@pytest.mark.interop
async def test_a_tool_loop_can_be_played(client: anthropic.AsyncAnthropic) -> None:
    """Question, tool use, result, answer."""
    first = await client.messages.create(**body("get_tides", tools=[GET_TIDES]))
    use = first.content[-1]
    assert "tool_use" == first.stop_reason == use.type
    messages = [
        *body("get_tides")["messages"],
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "04:43"}]},
    ]
    second = await client.messages.create(**body(messages=messages, tools=[GET_TIDES]))

    assert "end_turn" == second.stop_reason
    assert "04:43" in second.content[0].text


@pytest.mark.interop
async def test_leaving_is_noticed_between_two_tokens(simulator: Simulator, client: anthropic.AsyncAnthropic) -> None:
    """A client that closes the stream is gone for the simulator at once, although it pauses."""
    slow = body("long", model="simulated-1?tokens_per_s=0.1")
    async with client.messages.stream(**slow) as stream:
        async for event in stream:
            if event.type == "text":
                break
    left_at = asyncio.get_running_loop().time()
    record = await simulator.wait_for(lambda each: each.outcome is Outcome.DISCONNECTED, timeout_s=1)

    assert record.ended is not None
    assert record.ended - left_at < 0.25
    assert (record.ended, 0) == (simulator.statistics().last_disconnect_at, simulator.statistics().streams_open)
    assert 4 == record.events_sent


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_is_noticed_before_the_first_token(simulator: Simulator, stream: bool) -> None:
    """Nothing has been answered yet, not even the headers."""
    asked = body(model="simulated-1?ttft_s=60", stream=stream)
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    async with aiohttp.ClientSession(simulator.base_url) as session:
        waiting = asyncio.ensure_future(session.post("/v1/messages", json=asked, headers=headers))
        await simulator.wait_for(lambda each: each.model != "", timeout_s=5)
        waiting.cancel()
        await asyncio.wait([waiting])
        record = await simulator.wait_for(lambda each: each.ended is not None, timeout_s=1)

    assert Outcome.DISCONNECTED is record.outcome


async def test_closing_cuts_what_is_open() -> None:
    """Nobody is told that a stream was complete; the requests are noted as cut."""
    async with Simulator(ttft_s=0, tokens_per_s=1) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(simulator.base_url.rpartition(":")[2]))
        raw = b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
        head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(raw) + raw)
        await reader.readuntil(b"text_delta")
    rest = await reader.read()
    writer.close()

    assert b"message_stop" not in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert [Outcome.CUT] == [record.outcome for record in simulator.requests]


@pytest.mark.parametrize("chunking", Chunking)
@pytest.mark.parametrize("recorded", SHORT, ids=str)
async def test_a_recording_arrives_as_it_was(recorded: Recording, chunking: Chunking) -> None:
    """I8: the same bytes, however they are cut."""
    path = recordings_folder() / recorded.file
    async with Simulator(ttft_s=0, tokens_per_s=0, replay=path, chunking=chunking) as simulator:
        read = b"".join([data async for data in stream_of(simulator, "/v1/messages")])

    assert recorded.sse_bytes() == read


async def test_a_recording_answers_other_dialects_too(tmp_path: Path) -> None:
    """And can be told to fail; only a request without a stream is scripted."""
    path = tmp_path / "two.sse"
    path.write_bytes(b'data: {"a":1}\n\ndata: {"b":2}\n\n')
    async with Simulator(ttft_s=0, tokens_per_s=0, replay=path, crlf=True) as simulator:
        chat = [data async for data in stream_of(simulator, "/v1/chat/completions")]
        cut = [data async for data in stream_of(simulator, "/v1/messages", "simulated-1?refuse=truncate-after:1")]
        async with anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="any") as client:
            whole = await client.messages.create(**body("echo: scripted"))

    assert b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n' == b"".join(chat)
    assert b'data: {"a":1}\r\n\r\n' == b"".join(cut)
    assert "scripted" == whole.content[0].text


async def stream_of(simulator: Simulator, path: str, model: str = "simulated-1") -> AsyncIterator[bytes]:
    headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
    async with (
        aiohttp.ClientSession(simulator.base_url) as session,
        session.post(path, json=body(model=model, stream=True), headers=headers) as response,
    ):
        assert 200 == response.status
        async for data in response.content.iter_any():
            yield data


@pytest.mark.parametrize("wrong", [{"ttft_s": -1}, {"tokens_per_s": float("nan")}, {"seed": -1}, {"seed": 2**63}])
def test_a_simulator_is_made_within_bounds(wrong: dict[str, Any]) -> None:
    """I10: the same bounds as for a request."""
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        Simulator(**wrong)


async def test_a_taken_port_is_an_error() -> None:
    """And leaves nothing running."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="address already in use"):
        async with Simulator(port=taken.getsockname()[1]):
            pass


@pytest.mark.parametrize(
    "host, url", [("0.0.0.0", "http://127.0.0.1:7"), ("::1", "http://[::1]:7"), ("h", "http://h:7")]
)
def test_the_base_url_can_be_reached(host: str, url: str) -> None:
    """It names a host that a client can connect to."""
    assert url == Simulator(host=host, port=7).base_url
