"""Starts that are made again: at once, after a crash, with another body, and of what has been forgotten (I15)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.processes import Answer, ServerProcess, until
from tests.e2e.reading import read
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

ONCE = "simulated-1?ttft_s=0&tokens_per_s=0"


def start_of(server: ServerProcess, body: dict[str, Any], key: str | None = None) -> Answer:
    return server.call("POST", "/v1/streams", body, headers={"idempotency-key": key} if key else {})


@pytest.mark.parametrize("by", ["key", "id"])
def test_the_same_start_twenty_times(server: ServerProcess, simulator: SimulatorThread, by: str) -> None:
    """I15: twenty equal starts at once are one stream and one request to the provider; another body is 409."""
    before = simulator.statistics().requests
    key = "key-twenty" if by == "key" else None
    body = {"model": ONCE, "prompt": "count to 7", **({} if key else {"id": "id-twenty"})}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: start_of(server, body, key), range(20)))
    id = answers[0].json["id"]
    server.ended(id)
    other = start_of(server, {**body, "prompt": "count to 8"}, key)

    assert [200] * 19 + [201] == sorted(answer.status for answer in answers)
    assert {id} == {answer.json["id"] for answer in answers}
    assert 19 == sum(answer.headers.get("idempotent-replay") == "true" for answer in answers)
    assert 1 == simulator.statistics().requests - before
    assert (409, "stream_exists", False) == (other.status, other.code, "count to 7" in other.body.decode())


def test_a_start_is_idempotent_after_a_restart(serve: Serve, simulator: SimulatorThread) -> None:
    """I15: key and id belong to their stream also when the server was killed in between, on each route that starts."""
    server = serve(upstream=simulator.base_url)
    body = {"model": ONCE, "prompt": "count to 9", "id": "id-restart"}
    question = {"model": ONCE, "max_tokens": 99, "messages": [{"role": "user", "content": "count to 9"}]}
    first = start_of(server, body, "key-restart").json["id"]
    vendor = server.call("POST", "/v1/messages", question, headers={"idempotency-key": "key-vendor"})
    server.ended(first)
    server.restart()
    until(lambda: simulator.statistics().requests_open == 0, 5)
    before = simulator.statistics().requests
    again = start_of(server, body, "key-restart")
    vendor_again = server.call("POST", "/v1/messages", question, headers={"idempotency-key": "key-vendor"})
    other = start_of(server, {**body, "prompt": "count to 10"}, "key-restart")

    assert (200, "id-restart", "completed") == (again.status, again.json["id"], again.json["state"])
    assert vendor.headers["x-stream-id"] == vendor_again.headers["x-stream-id"]
    assert vendor.json == vendor_again.json
    assert (409, "stream_exists") == (other.status, other.code)
    assert before == simulator.statistics().requests


def test_what_is_forgotten_is_gone(server: ServerProcess) -> None:
    """A forgotten stream is 404 on every route like one that never was; a running one cannot be forgotten."""
    id = server.begin(ONCE)
    running = server.begin("simulated-1?ttft_s=0&tokens_per_s=20", "count to 500", max_tokens=5000)
    server.ended(id)
    refused = server.call("DELETE", f"/v1/streams/{running}")
    deleted = server.call("DELETE", f"/v1/streams/{id}")
    server.call("POST", f"/v1/streams/{running}/cancel")

    assert (409, "stream_live") == (refused.status, refused.code)
    assert 204 == deleted.status
    for path in ("", "/events", "/message"):
        for gone in (id, "never-was"):
            answer = server.call("GET", f"/v1/streams/{gone}{path}")
            assert (404, "stream_not_found") == (answer.status, answer.code)
    assert read(server.url, f"/v1/streams/{running}/events").clean
