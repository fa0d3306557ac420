"""
Put the routes together: as an application of its own, or as a router for yours.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from streamkeep.relay import Relay
from streamkeep.server import errors, health, messages, metrics, page, reading, streams
from streamkeep.server.guard import LOOPBACK, Guard
from streamkeep.server.service import Service
from streamkeep.settings import Settings


def create_router(relay: Relay, settings: Settings | None = None) -> APIRouter:
    """
    Make the API's routes for an application of yours.

    Args:
        relay: Entered by you, for as long as the application runs.
        settings: The server's; defaults and environment if left out.

    The routes answer their own errors. Who may call them is your application's business.
    """
    service = Service(relay, settings or Settings())

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with service.heart:
            yield

    router = APIRouter(lifespan=lifespan)
    for each in _routers(service):
        router.include_router(each)
    return router


def create_app(relay: Relay, settings: Settings | None = None) -> FastAPI:
    """
    Make the whole application: API, page, documentation and guard.

    Args:
        relay: Entered by you, or else by the application, for as long as it runs.
        settings: The server's; defaults and environment if left out.
    """
    settings = settings or Settings()
    service = Service(relay, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if not relay.entered:
                await stack.enter_async_context(relay)
            await stack.enter_async_context(service.heart)
            yield

    app = FastAPI(
        title="Streamkeep",
        summary="Durable streaming of LLM responses.",
        version=version("streamkeep"),
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service
    for router in _routers(service):  # One by one: a router within a router costs every request another search.
        app.include_router(router)
    app.include_router(page.router)
    errors.install(app)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-stream-id", "location", "request-id", "idempotent-replay"],
        )
    app.add_middleware(
        Guard,
        hosts=settings.allowed_hosts or (LOOPBACK if settings.host in LOOPBACK else ()),
        origins=settings.allowed_origins,
        keys=settings.api_keys,
        max_body=settings.max_body,
    )
    return app


def _routers(service: Service) -> list[APIRouter]:
    return [group.routes(service) for group in (messages, reading, streams, health, metrics)]
