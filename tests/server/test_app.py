"""The routes put together."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamkeep.server import create_app, create_router
from streamkeep.server.guard import Guard
from streamkeep.settings import Settings
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import ScriptedUpstream, staged, whole
from tests.relay.stubborn_store import StubbornStore
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]

ROUTES = {
    "/healthz",
    "/metrics",
    "/readyz",
    "/v1/messages",
    "/v1/models",
    "/v1/streams",
    "/v1/streams/{id}",
    "/v1/streams/{id}/cancel",
    "/v1/streams/{id}/events",
    "/v1/streams/{id}/message",
}


async def test_the_application_documents_its_routes(hall: Maker) -> None:
    """What can be called is in the OpenAPI document."""
    opened = await hall(whole("a"))

    document = await opened.ask("GET", "/openapi.json")
    page = await opened.ask("GET", "/docs")

    assert ROUTES <= set(document.json["paths"])
    assert 200 == page.status


async def test_the_relay_lives_as_long_as_the_application(clock: ManualClock) -> None:
    """Start-up opens it, shut-down ends what it produces and closes it."""
    stage = staged(clock, ScriptedUpstream(whole("a")), store=StubbornStore())
    app = create_app(stage.relay, Settings(store="memory://"))

    async with app.router.lifespan_context(app):
        during = (stage.upstream.opened, stage.upstream.closed, app.state.service.heart._task.done())
    after = (stage.upstream.opened, stage.upstream.closed, app.state.service.heart._task.done())

    assert ((1, 0, False), (1, 1, True)) == (during, after)


@pytest.mark.parametrize(
    "settings, host, status",
    [
        ({"host": "127.0.0.1"}, "localhost", 200),
        ({"host": "127.0.0.1"}, "my.example", 403),
        ({"host": "0.0.0.0"}, "my.example", 200),
        ({"host": "0.0.0.0", "allowed_hosts": ["my.example"]}, "my.example", 200),
        ({"host": "0.0.0.0", "allowed_hosts": ["my.example"]}, "other.example", 403),
    ],
)
async def test_a_server_for_this_machine_answers_to_its_names_only(
    hall: Maker, settings: dict[str, Any], host: str, status: int
) -> None:
    """The default is closed; who listens to the world says to what names."""
    opened = await hall(whole("a"), **settings)

    assert status == (await opened.ask("GET", "/healthz", headers={"host": host})).status


async def test_a_router_brings_routes_and_no_guard(clock: ManualClock) -> None:
    """The application it is mounted in keeps its own doors."""
    router = create_router(staged(clock, ScriptedUpstream(), store=StubbornStore()).relay)
    app = create_app(staged(clock, ScriptedUpstream(), store=StubbornStore()).relay)

    assert ROUTES <= set(paths(router))
    assert [Guard.__name__] == [getattr(each.cls, "__name__", "") for each in app.user_middleware]


def paths(router: Any) -> list[str]:
    """Name the routes of a router and of those it includes."""
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(router)
    return list(app.openapi()["paths"])
