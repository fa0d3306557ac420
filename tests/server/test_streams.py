"""The native routes that start, list, show, stop and forget."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import CLOSING, OPENING, Script, Wait, delta, whole
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]

SLOW = Script([OPENING + delta("a"), Wait(20), CLOSING])


async def test_a_start_answers_with_the_stream(hall: Maker) -> None:
    """I13: 201 and where to find it, before the model says a word."""
    opened = await hall(Script(before=[Fault.HANG]))

    answer = await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": "mine", "metadata": {"a": 1}})

    assert (201, "mine", "/v1/streams/mine") == (
        answer.status,
        answer.headers["x-stream-id"],
        answer.headers["location"],
    )
    assert ("stream", "open", {"a": 1}) == tuple(answer.json[name] for name in ("object", "state", "metadata"))


@pytest.mark.parametrize("how", [{"json": {"stream": True}}, {"headers": {"accept": "text/event-stream"}}])
async def test_a_start_can_answer_with_the_events(hall: Maker, how: dict[str, Any]) -> None:
    """One round trip to the first token."""
    opened = await hall(whole("a"))

    answer = await opened.ask(
        "POST", "/v1/streams", {"prompt": "x", **how.get("json", {})}, headers=how.get("headers", {})
    )

    assert (200, True, 10 - 1) == (answer.status, answer.whole, answer.body.count(b"\nevent: "))
    assert {"x-stream-id", "location"} <= set(answer.headers)


async def test_a_repeated_start_says_that_it_is_one(hall: Maker) -> None:
    """I15: same body, same stream; other body, 409."""
    opened = await hall(SLOW)
    same = {"prompt": "x", "id": "mine"}

    first, again = [await opened.ask("POST", "/v1/streams", same) for _ in range(2)]
    other = await opened.ask("POST", "/v1/streams", {"prompt": "y", "id": "mine"})

    assert ([201, 200, 409], "true") == (
        [first.status, again.status, other.status],
        again.headers["idempotent-replay"],
    )
    assert ("stream_exists", "conflict_error") == (other.json["error"]["code"], other.json["error"]["type"])


@pytest.mark.parametrize(
    "target, json, code",
    [
        ("/v1/streams", {"prompt": ""}, "bad_request"),
        ("/v1/streams", {"prompt": "x", "policy": {"retries": 99}}, "bad_request"),
        ("/v1/streams?wire=nonsense", {"prompt": "x"}, "bad_request"),
        ("/v1/streams?thinking=maybe", {"prompt": "x", "stream": True}, "bad_request"),
        ("/v1/streams", None, "invalid_json"),
    ],
)
async def test_a_start_that_cannot_be_served_starts_nothing(hall: Maker, target: str, json: Any, code: str) -> None:
    """I11: what is wrong is said with a status, and nobody is asked."""
    opened = await hall(whole("a"))

    answer = await opened.ask("POST", target, json)

    assert (400, code, []) == (answer.status, answer.json["error"]["code"], opened.upstream.calls)
    assert [] == (await opened.ask("GET", "/v1/streams")).json["data"]


async def test_a_full_house_starts_nothing(hall: Maker) -> None:
    """I10: where no reader has a place, a start that wants to read is refused before it costs."""
    opened = await hall(SLOW, max_readers=1)
    reader = opened.begin("POST", "/v1/streams", {"prompt": "x", "stream": True})
    await opened.clock.advance(1)

    answer = await opened.ask("POST", "/v1/streams", {"prompt": "y", "stream": True})

    assert (503, "overloaded", "1") == (answer.status, answer.json["error"]["code"], answer.headers["retry-after"])
    assert 1 == len(opened.upstream.calls)
    await reader.task


async def test_streams_are_listed_newest_first_page_by_page(hall: Maker) -> None:
    """Every stream is on one page, once."""
    opened = await hall(whole("a"))
    for number in range(7):
        await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": f"s{number}"})
        await opened.clock.advance(1)

    pages, target = [], "/v1/streams?limit=3"
    while target:
        page = (await opened.ask("GET", target)).json
        pages.append([stream["id"] for stream in page["data"]])
        target = f"/v1/streams?limit=3&page={page['next']}" if page["has_more"] else ""

    assert [["s6", "s5", "s4"], ["s3", "s2", "s1"], ["s0"]] == pages


async def test_a_list_can_be_limited_to_states(hall: Maker) -> None:
    """Several states are told apart by commas."""
    opened = await hall(whole("a"), Script([OPENING + delta("a")]), SLOW)
    for name in ("done", "failed", "live"):
        await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": name})
        await opened.clock.advance(1)

    async def found(states: str) -> set[str]:
        return {stream["id"] for stream in (await opened.ask("GET", f"/v1/streams?state={states}")).json["data"]}

    assert [{"done"}, {"failed"}, {"live"}, {"failed", "live"}] == [
        await found(states) for states in ("completed", "failed", "open", "failed,open")
    ]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=nan", "limit=201", "state=new", "state=x", "page=!", "page=ä", "page=e30"]
)
async def test_a_bad_query_is_named(hall: Maker, query: str) -> None:
    """I11: the parameter at fault stands in the text."""
    opened = await hall(whole("a"))

    answer = await opened.ask("GET", f"/v1/streams?{query}")

    assert 400 == answer.status
    assert query.partition("=")[0] in answer.json["error"]["message"]


async def test_one_stream_is_shown_with_its_message_so_far(hall: Maker) -> None:
    """The whole state in one answer, live or ended, also where the upstream sent nonsense."""
    opened = await hall(SLOW, Script([OPENING + delta("a") + delta("lost", index=9) + CLOSING]))
    for name in ("live", "malformed"):
        await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": name})
    await opened.clock.advance(1)

    live, malformed = [(await opened.ask("GET", f"/v1/streams/{name}")).json for name in ("live", "malformed")]

    assert ("open", "a", 1) == (live["state"], live["message"]["content"][0]["text"], live["attempts"])
    assert ("failed", "a", "upstream_malformed") == (
        malformed["state"],
        malformed["message"]["content"][0]["text"],
        malformed["error"]["code"],
    )


async def test_a_stop_answers_with_its_receipt_again_and_again(hall: Maker) -> None:
    """I14: the same receipt for everyone who asks."""
    opened = await hall(SLOW)
    await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": "mine"})
    await opened.clock.advance(1)

    first, second = [await opened.ask("POST", "/v1/streams/mine/cancel") for _ in range(2)]

    assert (200, "cancelled", 0.0) == (first.status, first.json["state"], first.json["upstream_closed_ms"])
    assert first.json == second.json


async def test_a_stop_before_the_start_is_remembered(hall: Maker) -> None:
    """I14: 202, and the start that comes after asks nobody."""
    opened = await hall(SLOW)

    early = await opened.ask("POST", "/v1/streams/mine/cancel")
    await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": "mine"})
    await opened.clock.advance(1)

    assert (202, "cancelling") == (early.status, early.json["state"])
    assert ("cancelled", []) == ((await opened.ask("GET", "/v1/streams/mine")).json["state"], opened.upstream.calls)


async def test_an_ended_stream_can_be_forgotten(hall: Maker) -> None:
    """204, then 404; a live one is kept."""
    opened = await hall(SLOW)
    await opened.ask("POST", "/v1/streams", {"prompt": "x", "id": "mine"})

    live = await opened.ask("DELETE", "/v1/streams/mine")
    await opened.ask("POST", "/v1/streams/mine/cancel")
    gone = await opened.ask("DELETE", "/v1/streams/mine")
    after = await opened.ask("GET", "/v1/streams/mine")

    assert ([409, 204, 404], "stream_not_found") == (
        [live.status, gone.status, after.status],
        after.json["error"]["code"],
    )
