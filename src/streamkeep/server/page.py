"""
Serve the page: a few static files of the package, at `/` and `/page/{name}`, under a policy that lets in nothing else.

The page loads no code, style or data from anywhere but its own origin, and the browser is told so: what a model writes
can neither run nor fetch, even if the page had a mistake.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""What the page may do: its own scripts, styles and requests; no frames, no markup from strings."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The browser asks each time and mostly gets 304, so that an upgrade never mixes old and new modules.
    "Cache-Control": "no-cache",
}
"""Stand on every reply of this router."""

INDEX: Final = "index.html"

_MEDIA_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page, as it is sent."""

    content: bytes
    media_type: str
    etag: str
    """Strong: a hash of the content, in quotes."""


@cache
def page_files() -> Mapping[str, PageFile]:
    """
    Return the page's files by name, read once from the package's data.

    Only what was found in the folder can be asked for; a name is never made into a path.
    """
    folder = files("streamkeep.server").joinpath("page")
    kinds = {each: _MEDIA_TYPES.get(each.name.rpartition(".")[2]) for each in folder.iterdir()}
    return {each.name: _page_file(each.read_bytes(), kind) for each, kind in kinds.items() if kind}


def _page_file(content: bytes, media_type: str) -> PageFile:
    return PageFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """Serve the page itself."""
    return _reply(request, INDEX)


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def part(request: Request, name: str) -> Response:
    """
    Serve one of the page's scripts, styles or pictures.

    Raises:
        HTTPException: 404, there is none of this name.
    """
    return _reply(request, name)


def _reply(request: Request, name: str) -> Response:
    file = page_files().get(name)
    if file is None:
        raise HTTPException(404, "The page has no file of this name.", headers=dict(HEADERS))
    headers = {**HEADERS, "ETag": file.etag}
    if _is_known(file.etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _is_known(etag: str, if_none_match: str) -> bool:
    """Compare weakly, as RFC 9110 §13.1.2 wants it: a proxy that compresses marks our tag with `W/`."""
    known = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in ("*", etag) for each in known)
