"""
Tell a caller what went wrong: the Messages API's error shape on every route, with our stable `code` beside its type.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping
from math import ceil
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from streamkeep.errors import BadRequest, CursorError, StreamkeepError, kind_of
from streamkeep.server.service import REQUEST_ID

_log = logging.getLogger(__name__)


def error_response(
    request: Request, error: Mapping[str, Any], *, headers: Mapping[str, str] | None = None, message: Any = None
) -> Response:
    """
    Answer with an error.

    Args:
        request: Whose.
        error: `status`, `message`, `code`, and maybe `type`, `retryable`, `retry_after`, `cursor`.
        headers: Further ones.
        message: The partial answer, if there is one.
    """
    status = error["status"]
    shown = {name: error[name] for name in ("message", "code", "cursor") if name in error}
    body = {
        "type": "error",
        "error": {"type": error.get("type") or kind_of(status), **shown},
        "request_id": request.scope.get(REQUEST_ID),
    }
    if message is not None:
        body["message"] = message
    retry = {}
    if error.get("retry_after") is not None:
        retry["retry-after"] = str(ceil(error["retry_after"]))
    return JSONResponse(body, status, {"cache-control": "no-store", **retry, **(headers or {})})


def describe(error: StreamkeepError) -> dict[str, Any]:
    """Give an error as `error_response` takes it."""
    shown: dict[str, Any] = {"status": error.status, "message": error.message, "code": error.code}
    if isinstance(error, CursorError):
        shown["cursor"] = error.head
    if error.retry_after is not None:
        shown["retry_after"] = error.retry_after
    return shown


class Route(APIRoute):
    """A route that answers our errors itself, in whatever application it is included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except StreamkeepError as error:
                return error_response(request, describe(error))

        return handler


def install(app: FastAPI) -> None:
    """Answer what no route of ours answers: unknown paths, wrong methods, mistakes of the server."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return error_response(request, describe(BadRequest(f"{where}: {error.errors()[0]['msg']}")))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        texts = {
            404: "There is no such route; the routes are listed at /docs.",
            405: "This route takes another method.",
        }
        text = texts.get(error.status_code, str(error.detail))
        shown = {"status": error.status_code, "message": text, "code": f"http_{error.status_code}"}
        return error_response(request, shown, headers=error.headers)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        id = request.scope.get(REQUEST_ID)
        _log.error("request %s failed", id, exc_info=error)
        text = "The server made a mistake; its log has more under this request id."
        headers = {"request-id": id} if id else {}  # this handler stands outside the guard, which adds it elsewhere
        return error_response(request, {"status": 500, "message": text, "code": "internal_error"}, headers=headers)
