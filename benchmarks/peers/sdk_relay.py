"""
The relay of the tutorials: FastAPI's StreamingResponse around the official SDK's `text_stream`.

    python -m benchmarks.peers.sdk_relay PORT

Strategy
    As it is usually written, but for the SDK's limit of connections, which would otherwise be what is measured.
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.peers.base import ROOT, Peer, absent, program, python_path


def application() -> Any:
    """Make the relay; the SDK reads its upstream from `ANTHROPIC_BASE_URL`."""
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
    from fastapi import Body, FastAPI
    from fastapi.responses import StreamingResponse
    from httpx2 import Limits

    app = FastAPI()
    limits = Limits(max_connections=20_000, max_keepalive_connections=100)
    client = AsyncAnthropic(http_client=DefaultAsyncHttpxClient(limits=limits))

    @app.post("/v1/messages")
    async def messages(request: dict[str, Any] = Body()) -> StreamingResponse:
        async def texts() -> AsyncIterator[str]:
            asked = {name: request[name] for name in ("model", "max_tokens", "messages")}
            async with client.messages.stream(**asked) as stream:
                async for text in stream.text_stream:
                    yield f"data: {text}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(texts(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    return app


PEERS = (
    Peer(
        "fastapi-sdk",
        "FastAPI's StreamingResponse around the official SDK's text_stream, uvicorn",
        lambda place: program("benchmarks.peers.sdk_relay", str(place.port)),
        missing=lambda: absent("anthropic", "fastapi", "httpx2", "uvicorn"),
        environment=lambda place: {
            "ANTHROPIC_BASE_URL": place.upstream,
            "ANTHROPIC_API_KEY": "none",
            **python_path(ROOT),
        },
    ),
)

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", backlog=4096)
