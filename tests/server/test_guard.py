"""Who asks, from where, and how much: before any route."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from streamkeep.server.guard import LOOPBACK, MAX_HEADER_BYTES, Guard
from tests.relay.scripted import whole
from tests.server.asking import Exchange, Visitor
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 204 to whatever comes."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def guarded(**settings: Any) -> Visitor:
    return Visitor(Guard(application, **{"hosts": LOOPBACK, "origins": (), "keys": (), "max_body": 100, **settings}))


async def ask(visitor: Visitor, **headers: str) -> Exchange:
    return await visitor.ask("GET", "/v1/streams", headers=headers)


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8000", 204),
        ("127.0.0.1", 204),
        ("localhost:1", 204),
        ("LocalHost:1", 204),
        ("[::1]:8000", 204),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("evil.example:127.0.0.1", 403),
        ("[::1].evil.example", 204),  # no browser sends it: brackets close an address
        ("", 403),
    ],
)
async def test_only_our_own_names_are_answered(host: str, status: int) -> None:
    """A name that was made to point at this machine (DNS rebinding) opens nothing."""
    answer = await ask(guarded(), host=host)

    assert status == answer.status
    if status == 403:
        assert ("host_not_allowed", "permission_error") == (answer.json["error"]["code"], answer.json["error"]["type"])


@pytest.mark.parametrize(
    "origin, host, status",
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", 204),
        ("https://localhost:8000", "localhost:8000", 204),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", 403),
        ("http://localhost:8000", "127.0.0.1:8000", 403),
        ("https://evil.example", "127.0.0.1:8000", 403),
        ("null", "127.0.0.1:8000", 403),
        ("", "127.0.0.1:8000", 403),
        ("https://app.example", "127.0.0.1:8000", 204),
        ("https://app.example:444", "127.0.0.1:8000", 403),
        ("http://app.example", "127.0.0.1:8000", 403),
    ],
)
async def test_only_our_own_pages_and_allowed_ones_may_call(origin: str, host: str, status: int) -> None:
    """Another site's page that runs in the user's browser is not the user."""
    answer = await ask(guarded(origins=["https://app.example"]), origin=origin, host=host)

    assert status == answer.status
    if status == 403:
        assert "origin_not_allowed" == answer.json["error"]["code"]


async def test_all_names_are_answered_where_none_are_listed() -> None:
    """A server that listens to the world is told its names, or answers to all."""
    assert 204 == (await ask(guarded(hosts=()), host="any.example")).status


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 401),
        ({"x-api-key": "one"}, 204),
        ({"x-api-key": "two"}, 204),
        ({"authorization": "Bearer one"}, 204),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic one"}, 401),
        ({"x-api-key": "on"}, 401),
        ({"x-api-key": "onee"}, 401),
        ({"x-api-key": "\xe4"}, 401),
    ],
)
async def test_a_key_opens_the_door(headers: dict[str, str], status: int) -> None:
    """Where keys are set, one of them is needed, whole."""
    answer = await ask(guarded(keys=["one", "two"]), **headers)

    assert status == answer.status
    if status == 401:
        assert "authentication_error" == answer.json["error"]["type"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/page/app.js"])
async def test_what_shows_nothing_needs_no_key(path: str) -> None:
    """Page, documentation and health checks come without."""
    assert 204 == (await guarded(keys=["one"]).ask("GET", path)).status


@pytest.mark.parametrize("path", ["/v1/streams", "/page", "/pages/", "/healthz/", "//healthz", "/streams/x"])
async def test_everything_else_needs_one(path: str) -> None:
    """A path that merely looks like an open one is closed."""
    assert 401 == (await guarded(keys=["one"]).ask("GET", path)).status


async def test_headers_are_bounded() -> None:
    """I10: names and values together, named in the error."""
    answer = await ask(guarded(), **{"x-big": "x" * MAX_HEADER_BYTES})

    assert (431, "headers_too_large", True) == (
        answer.status,
        answer.json["error"]["code"],
        str(MAX_HEADER_BYTES) in answer.json["error"]["message"],
    )


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_is_bounded_declared_or_not(hall: Maker, declared: bool) -> None:
    """I10: what is too large is refused before it is read, or as soon as it is."""
    opened = await hall(whole("a"), max_body=2000)
    headers = {"content-length": "2001"} if declared else {}

    answer = await opened.ask("POST", "/v1/streams", headers=headers, parts=[b"x" * 1001, b"x" * 1001])

    assert (413, "body_too_large", "request_too_large") == (
        answer.status,
        answer.json["error"]["code"],
        answer.json["error"]["type"],
    )


async def test_a_length_that_is_none_is_the_servers_business() -> None:
    """Nonsense in `content-length` does not get past the count of what really comes."""
    assert 204 == (await ask(guarded(), **{"content-length": "٣"[:0] + "-5"})).status


async def test_every_answer_has_an_id_of_its_own() -> None:
    """The id in the header is the one in the error."""
    refused, other = await ask(guarded(), host="evil"), await ask(guarded())

    assert refused.headers["request-id"] == refused.json["request_id"]
    assert refused.headers["request-id"] != other.headers["request-id"]
    assert refused.headers["request-id"].startswith("req_")


async def test_an_allowed_pages_browser_may_ask_first(hall: Maker) -> None:
    """A preflight carries no key; it is answered, and what follows needs one."""
    opened = await hall(whole("a"), allowed_origins=["https://app.example"], api_keys=["one"])
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}

    allowed = await opened.ask("OPTIONS", "/v1/streams", headers={"origin": "https://app.example", **asks})
    other = await opened.ask("OPTIONS", "/v1/streams", headers={"origin": "https://evil.example", **asks})
    without = await opened.ask("GET", "/v1/streams", headers={"origin": "https://app.example"})
    with_key = await opened.ask("GET", "/v1/streams", headers={"origin": "https://app.example", "x-api-key": "one"})

    assert [200, 403, 401, 200] == [each.status for each in (allowed, other, without, with_key)]
    assert "https://app.example" == allowed.headers["access-control-allow-origin"]
    assert "x-stream-id" in with_key.headers["access-control-expose-headers"]


async def test_what_is_no_http_passes() -> None:
    """Start-up and shut-down are the application's own."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def never(*_: Any) -> Any:
        raise AssertionError

    await Guard(app, hosts=(), origins=(), keys=(), max_body=1)({"type": "lifespan"}, never, never)

    assert ["lifespan"] == seen
