"""What HTTP clients see: routes, keys, headers and errors of the Messages API."""

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from streamkeep.simulator import Outcome, Simulator
from streamkeep.simulator.app import MAX_REQUEST_BYTES
from tests.simulator.asking import body

pytestmark = pytest.mark.anyio

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


@pytest.fixture
async def session(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.base_url, headers=HEADERS) as opened:
        yield opened


async def post(session: aiohttp.ClientSession, prompt: str = "echo: hi", **more: Any) -> tuple[int, Any, bytes]:
    headers = more.pop("headers", {})
    async with session.post("/v1/messages", json=body(prompt, **more), headers=headers) as response:
        return response.status, response.headers, await response.read()


def error_of(raw: bytes) -> tuple[str, str]:
    error = json.loads(raw)["error"]
    return error["type"], error["message"]


async def test_a_stream_has_the_recorded_headers(session: aiohttp.ClientSession) -> None:
    """Content type, cache, request id, organization and rate limits."""
    status, headers, _ = await post(session, stream=True)

    assert 200 == status
    assert "text/event-stream; charset=utf-8" == headers["content-type"]
    assert ("no-cache", "chunked") == (headers["cache-control"], headers["transfer-encoding"])
    assert re.fullmatch(r"req_01\w{22}", headers["request-id"])
    assert headers["anthropic-organization-id"].startswith("org_01")
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        limit, remaining = (int(headers[f"anthropic-ratelimit-{name}-{part}"]) for part in ("limit", "remaining"))
        assert 0 < remaining <= limit
        assert datetime.fromisoformat(headers[f"anthropic-ratelimit-{name}-reset"]).tzinfo is not None


async def test_the_same_request_gives_the_same_bytes(session: aiohttp.ClientSession) -> None:
    """Ids and padding included; another seed gives others."""
    first = await post(session, "think", stream=True)
    again = await post(session, "think", stream=True)
    other = await post(session, "think", stream=True, model="simulated-1?seed=7")

    assert first[2] == again[2] != other[2]
    assert first[1]["request-id"] != again[1]["request-id"]


async def test_two_simulators_with_one_seed_agree(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """The bytes follow from the seed, not from the process."""
    async with (
        Simulator(ttft_s=0, tokens_per_s=0) as twin,
        aiohttp.ClientSession(twin.base_url, headers=HEADERS) as other,
    ):
        assert (await post(session, stream=True))[2] == (await post(other, stream=True))[2]


VERSION = {"anthropic-version": "2023-06-01"}
NO_KEY = ("authentication_error", "x-api-key header is required")
NO_VERSION = ("invalid_request_error", "anthropic-version: header is required")
WRONG_VERSION = ("invalid_request_error", "anthropic-version: 'new' is not a valid version")


@pytest.mark.parametrize(
    "headers, status, words",
    [
        (VERSION, 401, NO_KEY),
        ({**VERSION, "authorization": "Basic x"}, 401, NO_KEY),
        ({"x-api-key": "k"}, 400, NO_VERSION),
        ({"x-api-key": "k", "anthropic-version": "new"}, 400, WRONG_VERSION),
    ],
)
@pytest.mark.parametrize(
    "route", ["POST /v1/messages", "POST /v1/messages/count_tokens", "GET /v1/models", "GET /v1/models/x"]
)
async def test_key_and_version_are_required(
    simulator: Simulator, route: str, headers: dict[str, str], status: int, words: tuple[str, str]
) -> None:
    """I11: on every route, in the API's shape, with the request's id."""
    method, path = route.split()
    async with (
        aiohttp.ClientSession(simulator.base_url, headers=headers) as session,
        session.request(method, path, data=b"{}" if method == "POST" else None) as response,
    ):
        raw = await response.read()

        assert (status, words) == (response.status, error_of(raw))
        assert response.headers["request-id"] == json.loads(raw)["request_id"]


@pytest.mark.parametrize("header", [{"x-api-key": "right"}, {"authorization": "Bearer right"}])
async def test_only_known_keys_are_taken(header: dict[str, str]) -> None:
    """In either header."""
    wrong = {name: value.replace("right", "wrong") for name, value in header.items()}
    async with (
        Simulator(ttft_s=0, tokens_per_s=0, keys=["right"]) as simulator,
        aiohttp.ClientSession(simulator.base_url, headers=VERSION) as session,
    ):
        assert 200 == (await post(session, headers=header))[0]
        status, _, raw = await post(session, headers=wrong)

    assert (401, ("authentication_error", "invalid x-api-key")) == (status, error_of(raw))


@pytest.mark.parametrize(
    "method, path, status, kind",
    [
        ("GET", "/", 404, "not_found_error"),
        ("POST", "/v1/complete", 404, "not_found_error"),
        ("POST", "/v1/chat/completions", 404, "not_found_error"),
        ("GET", "/v1/models/other", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
    ],
)
async def test_an_unknown_route_is_an_error_of_the_api(
    session: aiohttp.ClientSession, method: str, path: str, status: int, kind: str
) -> None:
    """No page of the HTTP server shows."""
    async with session.request(method, path) as response:
        assert (status, kind) == (response.status, error_of(await response.read())[0])


async def test_a_request_over_the_limit_is_too_large(session: aiohttp.ClientSession) -> None:
    """I10: 32 MB, as at the API."""
    async with session.post("/v1/messages", data=BytesIO(b" " * (MAX_REQUEST_BYTES + 1))) as response:
        assert (413, "request_too_large") == (response.status, error_of(await response.read())[0])


async def test_a_malformed_body_is_refused(session: aiohttp.ClientSession) -> None:
    """By name, before anything starts."""
    async with session.post("/v1/messages", data=b"{") as response:
        assert (400, "invalid_request_error") == (response.status, error_of(await response.read())[0])
    status, _, raw = await post(session, max_tokens=None)
    assert (400, "max_tokens: Field required") == (status, error_of(raw)[1])


@pytest.mark.parametrize(
    "asked",
    [
        {"headers": {"x-simulator-refuse": "529"}},
        {"model": "simulated-1?refuse=529"},
        {"metadata": {"simulator": {"refuse": "529"}}},
        {"prompt": "refuse with 529"},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_can_be_asked_for_in_four_ways(
    session: aiohttp.ClientSession, asked: dict[str, Any], stream: bool
) -> None:
    """In a header, in the model's name, in metadata, in the prompt."""
    status, _, raw = await post(session, stream=stream, **asked)

    assert (529, ("overloaded_error", "Overloaded")) == (status, error_of(raw))


async def test_a_header_is_stronger_than_metadata_than_the_model_than_the_prompt(
    session: aiohttp.ClientSession,
) -> None:
    """The nearest to the test wins."""
    weak: dict[str, Any] = {"prompt": "refuse with 400", "model": "simulated-1?refuse=403"}
    metadata = {"simulator": {"refuse": "404"}}
    header = {"x-simulator-refuse": "500"}
    answers = [
        await post(session, "refuse with 400"),
        await post(session, **weak),
        await post(session, **weak, metadata=metadata),
        await post(session, **weak, metadata=metadata, headers=header),
    ]

    assert [400, 403, 404, 500] == [status for status, _, _ in answers]


@pytest.mark.parametrize("header", ["x-simulator-replay", "x-simulator-file"])
async def test_a_request_names_no_file(session: aiohttp.ClientSession, header: str) -> None:
    """Such a header is an unknown option."""
    assert 400 == (await post(session, headers={header: "/etc/passwd"}))[0]


async def test_retry_after_stands_in_the_headers(session: aiohttp.ClientSession) -> None:
    """A second by default, or what was asked for."""
    _, headers, _ = await post(session, model="simulated-1?refuse=429")
    _, later, _ = await post(session, model="simulated-1?refuse=429&retry_after=7")

    assert ("1", "7") == (headers["retry-after"], later["retry-after"])


async def test_a_page_of_html_can_come_instead(session: aiohttp.ClientSession) -> None:
    """As from a proxy in between: status 200, and no answer."""
    status, headers, raw = await post(session, model="simulated-1?refuse=html", stream=True)

    assert (200, "text/html; charset=utf-8") == (status, headers["content-type"])
    assert raw.startswith(b"<!doctype html>")


async def test_only_the_first_requests_are_refused(session: aiohttp.ClientSession) -> None:
    """A retry of the same body is served after so many; another body counts for itself."""
    served = [(await post(session, "refuse with 529 twice"))[0] for _ in range(4)]

    assert [529, 529, 200, 200] == served
    assert 529 == (await post(session, "refuse with 529 twice, other"))[0]


async def test_going_on_counts_as_the_same_request(session: aiohttp.ClientSession) -> None:
    """A stream broken once is whole when the rest is asked for with the partial text."""
    question = {"role": "user", "content": "count to 30, refuse with truncate-after:9 once"}
    _, _, first = await post(session, messages=[question], stream=True)
    go_on = [question, {"role": "assistant", "content": "1, 2,"}]
    _, _, rest = await post(session, messages=go_on, stream=True)

    assert (9, b"message_stop" in first) == (first.count(b"\n\n"), False)
    assert b"message_stop" in rest


async def test_what_fails_without_a_stream_fails_too(session: aiohttp.ClientSession) -> None:
    """An overload is a status, a truncated body is no JSON, a reset is a reset."""
    status, _, raw = await post(session, model="simulated-1?refuse=error-after:3")
    assert (529, "overloaded_error") == (status, error_of(raw)[0])

    status, headers, raw = await post(session, model="simulated-1?refuse=truncate-after:3")
    assert (200, "application/json") == (status, headers["content-type"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(raw)

    with pytest.raises(aiohttp.ClientError):
        await post(session, model="simulated-1?refuse=reset-after:3")


@pytest.mark.parametrize("fault", ["stall-after:4", "stall-pings-after:4", "hang-after-end"])
async def test_a_stalled_stream_stays_open_until_its_reader_leaves(
    simulator: Simulator, session: aiohttp.ClientSession, fault: str
) -> None:
    """What came before the stall has arrived."""
    response = await session.post(
        "/v1/messages", json=body("echo: hi", stream=True, model=f"simulated-1?refuse={fault}")
    )
    record = await simulator.wait_for(lambda each: each.events_sent >= 4, timeout_s=5)
    assert Outcome.OPEN is record.outcome
    response.close()

    await simulator.wait_for(lambda each: each.outcome is Outcome.DISCONNECTED, timeout_s=1)
    assert 1 == simulator.statistics().disconnects


async def test_counts_are_bounded(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: the least recent are forgotten: refusals that were counted, and answers that were kept."""
    monkeypatch.setattr("streamkeep.simulator.app.MAX_REFUSAL_COUNTS", 1)
    monkeypatch.setattr("streamkeep.simulator.app.MAX_REMEMBERED_ANSWERS", 1)
    prompts = ["refuse with 529 once, a", "refuse with 529 once, b", "refuse with 529 once, a"]

    assert [529, 529, 529] == [(await post(session, prompt))[0] for prompt in prompts]
    streams = [(await post(session, prompt, stream=True))[2] for prompt in ("a", "b", "a")]
    assert streams[0] == streams[2] != streams[1]


async def test_an_answer_that_is_too_long_to_keep_is_made_again(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: and is the same."""
    monkeypatch.setattr("streamkeep.simulator.app.MAX_REMEMBERED_EVENTS", 3)

    assert (await post(session, stream=True))[2] == (await post(session, stream=True))[2]


async def test_an_error_of_its_own_is_the_apis_error(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake here shows as `api_error` there, and in the log."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("streamkeep.simulator.app.script", broken)
    status, _, raw = await post(session)

    assert (500, ("api_error", "Internal server error")) == (status, error_of(raw))
    assert "POST /v1/messages" in caplog.text
