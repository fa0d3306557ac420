"""The routes that read one stream: its events from a cursor, and its message."""

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streamkeep import registry
from streamkeep.cursor import Cursor, check
from streamkeep.entry import Entry
from streamkeep.errors import BadRequest
from streamkeep.lifecycle import State
from streamkeep.relay import Stream
from streamkeep.server import schema
from streamkeep.server.errors import Route, error_response
from streamkeep.server.service import Service, flag, number, while_connected
from streamkeep.server.stream_response import StreamResponse, View
from streamkeep.wire.base import Options

MAX_WAIT_S = 300.0
"""Longest `?wait=`, in seconds."""

DEFAULT_WAIT_S = 30.0
"""`?wait=` of a request that has none, in seconds."""


def routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/streams", tags=["streams"], route_class=Route)
    relay = service.relay

    @router.get("/{id}/events", **schema.EVENTS)
    async def events(request: Request, id: str) -> Response:
        """Follow a stream from a cursor: `Last-Event-ID`, or `?after=`."""
        shown = view(request)
        stream = await relay.stream(id)
        last = request.headers.get("last-event-id")
        cursor = Cursor.parse(request.query_params.get("after", "") if last is None else last)
        check(cursor, stream.head.epochs, stream.head.seq)
        if stream.head.state.ended and cursor.seq >= _last_shown(stream, shown):
            return Response(status_code=204, headers={"x-stream-id": id, "cache-control": "no-store"})
        service.heart.admit()
        return StreamResponse(relay, service.heart, id, shown, cursor=cursor)

    @router.get("/{id}/message", **schema.MESSAGE)
    async def message(request: Request, id: str) -> Response:
        """Give the message when the stream has ended, or after `?wait=` seconds as far as it got."""
        wait_s = number(request.query_params.get("wait"), "wait", default=DEFAULT_WAIT_S, low=0, high=MAX_WAIT_S)
        stream = await relay.stream(id)
        async with while_connected(request):
            await stream.ended(wait_s=wait_s)
        return await message_response(request, stream)

    return router


def _last_shown(stream: Stream, view: View) -> int:
    """Give the last entry of an ended log that this reader is told of: not every dialect has a frame for the ending."""
    head = stream.head
    ending = Entry(head.seq, 0.0, f"stream.{head.state.value}", head.ending or b"{}")
    return head.seq if view.wire.encoder(view.options).encode(ending, "") else head.seq - 1


def view(request: Request) -> View:
    """
    Read from the query how a stream is to be shown.

    Raises:
        BadRequest: A member of the query is not as it should be.
    """
    query = request.query_params
    thinking = query.get("thinking", "show")
    catchup = query.get("catchup", "exact")
    if thinking not in ("show", "hide"):
        raise BadRequest("thinking: must be show or hide")
    if catchup not in ("exact", "merged"):
        raise BadRequest("catchup: must be exact or merged")
    return View(
        registry.wire(query.get("wire", "native")),
        Options(hide_thinking=thinking == "hide"),
        merged=catchup == "merged",
        follow=flag(query.get("follow"), "follow", default=True),
    )


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
