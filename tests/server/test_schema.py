"""What the OpenAPI document says, against what the routes do."""

from collections.abc import Awaitable, Callable

import pytest

from streamkeep.relay.policy import ID
from streamkeep.server import schema
from streamkeep.server.reading import MAX_WAIT_S
from streamkeep.stores.base import MAX_LIST
from tests.relay.scripted import whole
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]


def parameters(route: dict) -> dict[str, dict]:  # type: ignore[type-arg]
    return {each["name"]: each for each in route["openapi_extra"]["parameters"]}


def test_the_bounds_in_the_document_are_those_of_the_code() -> None:
    """I10: a client that keeps to the document is not refused."""
    assert MAX_LIST == parameters(schema.LIST)["limit"]["schema"]["maximum"]
    assert MAX_WAIT_S == parameters(schema.MESSAGE)["wait"]["schema"]["maximum"]
    body = schema.START["openapi_extra"]["requestBody"]["content"]["application/json"]["schema"]
    assert f"^{ID.pattern}$" == body["properties"]["id"]["pattern"]


def test_every_parameter_is_described_and_typed() -> None:
    """A document that only names them helps nobody."""
    routes = [schema.START, schema.LIST, schema.EVENTS, schema.MESSAGE, schema.MESSAGES]
    described = [each for route in routes for each in route["openapi_extra"]["parameters"]]

    assert all(each["description"].endswith((".", "}")) or each["description"] for each in described)
    assert {"query", "header"} == {each["in"] for each in described}
    assert all("type" in each["schema"] for each in described)


async def test_every_route_documents_its_errors(hall: Maker) -> None:
    """A client generator finds the error's shape on each route of ours."""
    document = (await (await hall(whole("a"))).ask("GET", "/openapi.json")).json

    missing = [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if path.startswith("/v1/") and "4XX" not in route["responses"]
    ]

    assert [] == missing
