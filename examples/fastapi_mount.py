"""
Put durable streams into a FastAPI application of yours.

    uvicorn examples.fastapi_mount:app

Your routes and ours share one process; a stream goes on when the reader of `/ask` leaves, and can be read again at
`/ai/v1/streams/{id}/events`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from streamkeep import Relay, create_router

relay = Relay("sqlite:///streams.db")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with relay:
        yield


app = FastAPI(lifespan=lifespan)
app.include_router(create_router(relay), prefix="/ai")


@app.post("/ask")
async def ask(question: str) -> StreamingResponse:
    stream = await relay.start({"prompt": question})
    headers = {"X-Stream-Id": stream.id}
    return StreamingResponse(stream.text(), media_type="text/plain; charset=utf-8", headers=headers)
