"""The routes that start, list, show, stop and forget streams."""

import base64
import binascii
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streamkeep.cursor import START
from streamkeep.errors import BadRequest
from streamkeep.lifecycle import State
from streamkeep.relay import Stream
from streamkeep.relay.policy import read_start
from streamkeep.server import schema
from streamkeep.server.errors import Route
from streamkeep.server.reading import view
from streamkeep.server.service import Service, json_object, number, vendor_headers
from streamkeep.server.stream_response import StreamResponse
from streamkeep.stores.base import MAX_LIST


def routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/streams", tags=["streams"], route_class=Route)
    relay = service.relay

    @router.post("", status_code=201, **schema.START)
    async def start(request: Request) -> Response:
        """
        Start a stream, and answer with it as JSON.

        With `Accept: text/event-stream` or `"stream": true` the events themselves are the answer.
        """
        body = await json_object(request)
        shown = view(request)
        events = body.get("stream") is True or "text/event-stream" in request.headers.get("accept", "")
        start = read_start(
            body,
            default=relay.policy,
            headers=vendor_headers(request.headers),
            idempotency_key=request.headers.get("idempotency-key"),
        )
        if events:
            service.heart.admit()
        stream = await relay.begin(start)
        headers = {"x-stream-id": stream.id, "location": f"{request.url.path}/{stream.id}"}
        if stream.replayed:
            headers["idempotent-replay"] = "true"
        if events:
            return StreamResponse(relay, service.heart, stream.id, shown, cursor=START, headers=headers)
        return JSONResponse(stream.json(), 200 if stream.replayed else 201, headers)

    @router.get("", **schema.LIST)
    async def list_streams(request: Request) -> dict[str, Any]:
        """List streams, newest first."""
        query = request.query_params
        limit = int(number(query.get("limit"), "limit", default=50, low=1, high=MAX_LIST))
        states = _states(query.get("state"))
        streams = await relay.streams(states=states, before=_page(query.get("page")), limit=limit)
        more = len(streams) == limit and bool(
            await relay.streams(states=states, before=_position(streams[-1]), limit=1)
        )
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


def _states(text: str | None) -> frozenset[State] | None:
    if text is None:
        return None
    known = {state.value: state for state in State if state is not State.NEW}
    if unknown := set(text.split(",")) - set(known):
        raise BadRequest(f"state: {sorted(unknown)[0][:20]!r} is none of {', '.join(known)}")
    return frozenset(known[name] for name in text.split(","))


def _position(stream: Stream) -> tuple[float, str]:
    return stream.head.record.created_at, stream.id


def _page_text(stream: Stream) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_position(stream))).decode().rstrip("=")


def _page(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    try:
        position = base64.b64decode(text.encode("ascii") + b"==", altchars=b"-_", validate=False)
        return msgspec.json.decode(position, type=tuple[float, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise BadRequest("page: must be the `next` of the page before") from error
