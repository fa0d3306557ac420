"""Errors as a caller sees them: one shape on every route."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from starlette.requests import Request

from streamkeep.errors import BadRequest, CursorAhead, Overloaded
from streamkeep.server import create_router
from streamkeep.server.errors import Route, describe, error_response, install
from streamkeep.settings import Settings
from tests.relay.scripted import whole
from tests.server.asking import Visitor
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]


def request() -> Request:
    return Request({"type": "http", "headers": [], "streamkeep.request_id": "req_1"})


def test_an_error_is_in_the_vendors_shape_with_our_code() -> None:
    """An SDK of the vendor reads it; `code` is stable beside it."""
    response = error_response(request(), describe(BadRequest("What is wrong.")))

    assert (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"What is wrong.","code":"bad_request"},'
        b'"request_id":"req_1"}'
    ) == response.body
    assert (400, "no-store") == (response.status_code, response.headers["cache-control"])


def test_an_error_says_where_the_log_stands_and_when_to_come_back() -> None:
    """I7: a refused cursor comes with the right one; a wait is in whole seconds, as HTTP wants it."""
    ahead = error_response(request(), describe(CursorAhead("Ahead.", head="abc.7")))
    busy = Overloaded("Busy.")
    busy.retry_after = 1_234_567.2

    assert b'"cursor":"abc.7"' in ahead.body
    assert "1234568" == error_response(request(), describe(busy)).headers["retry-after"]


def test_a_status_without_a_type_of_its_own_gets_the_nearest() -> None:
    """The vendor's list has gaps; a type there always is."""
    types = [error_response(request(), {"status": status, "message": "x"}).body for status in (418, 507)]

    assert [True, True] == [b"invalid_request_error" in types[0], b"api_error" in types[1]]


def test_a_partial_answer_stands_beside_its_error() -> None:
    """I3: never in place of it."""
    assert (
        b'"message":{"content":[]}'
        in error_response(request(), {"status": 502, "message": "x"}, message={"content": []}).body
    )


@pytest.mark.parametrize(
    "method, target, status, code",
    [
        ("GET", "/nowhere", 404, "http_404"),
        ("PUT", "/v1/streams", 405, "http_405"),
        ("GET", "/v1/streams/a/b/events", 404, "http_404"),
    ],
)
async def test_what_no_route_answers_is_answered_in_the_same_shape(
    hall: Maker, method: str, target: str, status: int, code: str
) -> None:
    """A wrong path is an error like any other."""
    opened = await hall(whole("a"))

    answer = await opened.ask(method, target)

    assert (status, "error", code) == (answer.status, answer.json["type"], answer.json["error"]["code"])


async def test_a_mistake_of_ours_is_told_without_details(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets an id under which the log has more; header and body agree."""
    app = FastAPI()
    install(app)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret detail")

    @app.get("/typed")
    async def typed(number: int) -> None:
        await asyncio.sleep(0)

    async def named(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
        scope["streamkeep.request_id"] = "req_7"
        await app(scope, receive, send)  # type: ignore[arg-type]

    exchange = Visitor(named).begin("GET", "/broken")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        await exchange.task
    plain = Visitor(app).begin("GET", "/broken")
    with pytest.raises(RuntimeError):
        await plain.task
    invalid = await Visitor(app).ask("GET", "/typed?number=x")

    assert (500, "internal_error", "req_7", "req_7") == (
        exchange.status,
        exchange.json["error"]["code"],
        exchange.json["request_id"],
        exchange.headers["request-id"],
    )
    assert b"secret" not in exchange.body
    assert "a secret detail" in caplog.text
    assert "request-id" not in plain.headers
    assert (400, "query.number") == (invalid.status, invalid.json["error"]["message"].split(":")[0])


async def test_our_routes_answer_our_errors_in_any_application(hall: Maker) -> None:
    """An application that mounts the router keeps its own handlers; our errors are ours."""
    opened = await hall(whole("a"))
    app = FastAPI()
    app.include_router(create_router(opened.relay, Settings(store="memory://")), prefix="/llm")
    visitor = Visitor(app)

    missing = await visitor.ask("GET", "/llm/v1/streams/nobody")
    started = await visitor.ask("POST", "/llm/v1/streams", {"prompt": "x", "id": "s"})

    assert (404, "stream_not_found", None) == (
        missing.status,
        missing.json["error"]["code"],
        missing.json["request_id"],
    )
    assert "/llm/v1/streams/s" == started.headers["location"]
    assert Route is not None
