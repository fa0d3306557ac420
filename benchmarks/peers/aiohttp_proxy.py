"""
A byte relay of aiohttp's server and client on uvloop: what a Python proxy costs that keeps nothing.

    python -m benchmarks.peers.aiohttp_proxy PORT UPSTREAM
"""

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from benchmarks.peers.base import ROOT, Peer, program, python_path

SESSION = web.AppKey("session", ClientSession)


def application(upstream: str) -> web.Application:
    """Make the proxy for one upstream."""

    async def relay(request: web.Request) -> web.StreamResponse:
        headers = {"content-type": "application/json"}
        session = request.app[SESSION]
        async with session.post(upstream + request.path, data=await request.read(), headers=headers) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def session(app: web.Application) -> AsyncIterator[None]:
        unlimited = TCPConnector(limit=0)
        async with ClientSession(
            connector=unlimited, timeout=ClientTimeout(total=None), auto_decompress=False
        ) as opened:
            app[SESSION] = opened
            yield

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/{path:.*}", relay)
    return app


PEERS = (
    Peer(
        "aiohttp",
        "byte relay of aiohttp's server and client, uvloop",
        lambda place: program("benchmarks.peers.aiohttp_proxy", str(place.port), place.upstream),
        environment=lambda _: python_path(ROOT),
    ),
)

if __name__ == "__main__":
    web.run_app(
        application(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
