"""The native routes: start, list, look, follow, stop and forget streams."""

import base64
import binascii
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streamkeep import registry
from streamkeep.cursor import Cursor, check
from streamkeep.errors import BadRequest
from streamkeep.lifecycle import State
from streamkeep.relay import Stream
from streamkeep.relay.policy import DEFAULT_MAX_TOKENS, read_start
from streamkeep.server import schema
from streamkeep.server.errors import error_response
from streamkeep.server.service import Service, flag, json_object, number, vendor_headers, while_connected
from streamkeep.server.stream_response import StreamResponse
from streamkeep.stores.base import MAX_LIST
from streamkeep.wire.base import Options

MAX_WAIT_S = 300.0
"""Longest `?wait=`, in seconds."""

DEFAULT_WAIT_S = 30.0
"""`?wait=` of a request that has none, in seconds."""


def routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/streams", tags=["streams"])
    relay = service.relay

    def follow(request: Request, stream: Stream, cursor: Cursor, *, wire: str | None = None) -> StreamResponse:
        query = request.query_params
        thinking = query.get("thinking", "show")
        catchup = query.get("catchup", "exact")
        if thinking not in ("show", "hide"):
            raise BadRequest("thinking: must be show or hide")
        if catchup not in ("exact", "merged"):
            raise BadRequest("catchup: must be exact or merged")
        service.heart.admit()
        return StreamResponse(
            relay,
            service.heart,
            stream.id,
            registry.wire(wire or query.get("wire", "native")),
            cursor=cursor,
            options=Options(hide_thinking=thinking == "hide"),
            merged=catchup == "merged",
            follow=flag(query.get("follow"), "follow", default=True),
        )

    @router.post("", status_code=201, **schema.START)
    async def start(request: Request) -> Response:
        """
        Start a stream, and answer with it as JSON.

        With `Accept: text/event-stream` or `"stream": true` the events themselves are the answer.
        """
        body = await json_object(request)
        events = body.get("stream") is True or "text/event-stream" in request.headers.get("accept", "")
        start = read_start(
            body,
            default=relay.policy,
            headers=vendor_headers(request.headers),
            idempotency_key=request.headers.get("idempotency-key"),
        )
        start.request.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
        stream = await relay.begin(start)
        headers = {"x-stream-id": stream.id, "location": f"/v1/streams/{stream.id}"}
        if stream.replayed:
            headers["idempotent-replay"] = "true"
        if events:
            response = follow(request, stream, Cursor("", 0))
            response.headers.update(headers)
            return response
        return JSONResponse(stream.json(), 200 if stream.replayed else 201, headers)

    @router.get("", **schema.LIST)
    async def list_streams(request: Request) -> dict[str, Any]:
        """List streams, newest first."""
        query = request.query_params
        limit = int(number(query.get("limit"), "limit", default=50, low=1, high=MAX_LIST))
        found = await relay.streams(states=_states(query.get("state")), before=_page(query.get("page")), limit=limit + 1)
        streams = found[:limit]
        more = len(found) > limit
        return {
            "data": [stream.json() for stream in streams],
            "has_more": more,
            "next": _page_text(streams[-1]) if more else None,
        }

    @router.get("/{id}", **schema.GET)
    async def get(id: str) -> dict[str, Any]:
        """Show one stream, with the message as far as it got."""
        stream = await relay.stream(id)
        fold = await stream.fold()
        await stream.refresh()
        return stream.json(fold)

    @router.get("/{id}/events", **schema.EVENTS)
    async def events(request: Request, id: str) -> Response:
        """Follow a stream from a cursor: `Last-Event-ID`, or `?after=`."""
        stream = await relay.stream(id)
        last = request.headers.get("last-event-id")
        cursor = Cursor.parse(request.query_params.get("after", "") if last is None else last)
        check(cursor, stream.head.epochs, stream.head.seq)
        response = follow(request, stream, cursor)
        if stream.head.state.ended and cursor.seq == stream.head.seq:
            return Response(status_code=204, headers={"x-stream-id": id, "cache-control": "no-store"})
        return response

    @router.get("/{id}/message", **schema.MESSAGE)
    async def message(request: Request, id: str) -> Response:
        """Give the message when the stream has ended, or after `?wait=` seconds as far as it got."""
        wait_s = number(request.query_params.get("wait"), "wait", default=DEFAULT_WAIT_S, low=0, high=MAX_WAIT_S)
        stream = await relay.stream(id)
        async with while_connected(request):
            await stream.ended(wait_s=wait_s)
        return await message_response(request, stream)

    @router.post("/{id}/cancel", **schema.CANCEL)
    async def cancel(id: str) -> Response:
        """Stop a stream, also one that has not been started yet."""
        stream = await relay.cancel(id)
        if stream is None:
            return JSONResponse({"id": id, "object": "stream", "state": "cancelling", "remembered_s": 60}, 202)
        return JSONResponse(stream.receipt(), headers={"x-stream-id": id})

    @router.delete("/{id}", status_code=204, **schema.DELETE)
    async def delete(id: str) -> Response:
        """Forget an ended stream."""
        await relay.delete(id)
        return Response(status_code=204)

    return router


async def message_response(request: Request, stream: Stream) -> Response:
    """
    Answer with a stream's message.

    200 when it is whole or was stopped, 202 while it is on its way, the ending's own status where it failed; the
    partial message stands beside the error.
    """
    fold = await stream.fold()
    headers = {"x-stream-id": stream.id, "x-stream-state": stream.head.state.value}
    if stream.head.state is State.FAILED and stream.head.ending:
        error = msgspec.json.decode(stream.head.ending)["error"]
        return error_response(request, error, headers=headers, message=fold.message())
    return JSONResponse(fold.message(), 200 if stream.head.state.ended else 202, headers)


def _states(text: str | None) -> frozenset[State] | None:
    if text is None:
        return None
    known = {state.value: state for state in State if state is not State.NEW}
    if unknown := set(text.split(",")) - set(known):
        raise BadRequest(f"state: {sorted(unknown)[0][:20]!r} is none of {', '.join(known)}")
    return frozenset(known[name] for name in text.split(","))


def _page_text(stream: Stream) -> str:
    position = msgspec.json.encode([stream.head.record.created_at, stream.id])
    return base64.urlsafe_b64encode(position).decode().rstrip("=")


def _page(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    try:
        position = base64.b64decode(text.encode("ascii") + b"==", altchars=b"-_", validate=False)
        return msgspec.json.decode(position, type=tuple[float, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise BadRequest("page: must be the `next` of the page before") from error
