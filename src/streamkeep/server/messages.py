"""
The Messages API's own routes: point `ANTHROPIC_BASE_URL` here, and any official SDK streams durably.

Strategy
    An SDK expects a refusal as an HTTP status, so the headers wait until the upstream has shown something or the
    stream has ended, but no longer than `first_word`: then they go out, and what goes wrong later is an event (I11).
    A disconnect is the only stop that an SDK has, so streams begun here stop when nobody watches them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streamkeep import registry
from streamkeep.cursor import START
from streamkeep.entry import VISIBLE
from streamkeep.errors import BadRequest
from streamkeep.lifecycle import State
from streamkeep.relay import Stream
from streamkeep.relay.policy import read_vendor_start
from streamkeep.relay.tail import Tail
from streamkeep.server import schema
from streamkeep.server.errors import Route, error_response
from streamkeep.server.service import Service, json_object, vendor_headers, while_connected
from streamkeep.server.stream_response import StreamResponse, View

DIALECT = "anthropic"
"""The wire of these routes."""


def routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["messages"], route_class=Route)
    relay, settings = service.relay, service.settings
    unwatched = msgspec.structs.replace(relay.policy, cancel_when_unwatched=settings.unwatched_grace)

    @router.post("/messages", **schema.MESSAGES)
    async def messages(request: Request) -> Response:
        """Create a message, streamed or not, as the Messages API does."""
        body = await json_object(request)
        streamed = body.pop("stream", False) is True
        start = read_vendor_start(
            body,
            _policy_header(request),
            default=unwatched,
            headers=vendor_headers(request.headers),
            idempotency_key=request.headers.get("idempotency-key"),
        )
        if not start.request.get("model"):
            raise BadRequest("model: Field required")
        service.heart.admit()
        stream = await relay.begin(start)
        until: Callable[[Tail], bool] = _has_word if streamed else _has_ended
        headers = {"x-stream-id": stream.id}
        async with while_connected(request), relay.watch(stream.id) as tail:
            await _wait(tail, until, settings.first_word if streamed else None)
            headers |= tail.reply_headers
        await stream.refresh()
        if stream.head.state is State.FAILED and not (streamed and _shows_something(stream)):
            return await _failure(request, stream, headers)
        if streamed:
            shown = View(registry.wire(DIALECT))
            return StreamResponse(relay, service.heart, stream.id, shown, cursor=START, headers=headers)
        return await _whole(request, stream, headers)

    @router.get("/models", **schema.MODELS)
    async def models() -> dict[str, Any]:
        """List the models of the default provider."""
        found = await relay.models()
        ends = (
            {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {"first_id": None, "last_id": None}
        )
        return {"data": found, "has_more": False, **ends}

    return router


def _policy_header(request: Request) -> Any:
    text = request.headers.get("x-streamkeep-policy")
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest("X-Streamkeep-Policy: must be a JSON object") from error


def _has_ended(tail: Tail) -> bool:
    return tail.state.ended


def _has_word(tail: Tail) -> bool:
    entries = tail.since(0)
    return tail.state.ended or entries is None or any(entry.name in VISIBLE for entry in entries)


async def _wait(tail: Tail, until: Callable[[Tail], bool], limit_s: float | None) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not until(tail):
                await tail.wait()
    except TimeoutError:
        pass


def _shows_something(stream: Stream) -> bool:
    ending = msgspec.json.decode(stream.head.ending or b"{}")
    return ending.get("timing", {}).get("ttft_ms") is not None


async def _failure(request: Request, stream: Stream, headers: dict[str, str]) -> Response:
    """Answer a stream that failed with its status, and tell an SDK not to repeat what the relay has tried already."""
    error = msgspec.json.decode(stream.head.ending or b"{}")["error"]
    if (stream.json()["attempts"] or 0) > 1:
        headers.setdefault("x-should-retry", "false")
    return error_response(request, error, headers=headers)


async def _whole(request: Request, stream: Stream, headers: dict[str, str]) -> Response:
    if stream.head.state is not State.COMPLETED:
        error = {"status": 409, "code": "stream_cancelled", "message": "The answer was stopped before it was complete."}
        return error_response(request, error, headers={**headers, "x-should-retry": "false"})
    return JSONResponse((await stream.fold()).message(), headers=headers)
