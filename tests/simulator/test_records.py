"""What came in, and how it ended, can be asked for and waited for."""

import asyncio

import pytest

from streamkeep.simulator.records import MAX_RECORDS, MAX_WAITERS, Outcome, Records, RequestRecord

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds, counted by calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def records() -> Records:
    return Records(Clock())


def test_a_record_holds_no_secret() -> None:
    """Of a key only its kind is kept."""
    noted = records()
    headers = {"x-api-key": "sk-secret", "user-agent": "t", "cookie": "c"}

    record = noted.open("POST", "/v1/messages", headers)

    assert ({"user-agent": "t"}, "x-api-key") == (record.headers, record.credential)
    assert "bearer" == noted.open("GET", "/", {"authorization": "Bearer s"}).credential
    assert "" == noted.open("GET", "/", {}).credential
    assert "secret" not in repr(list(noted))


def test_a_record_has_one_ending() -> None:
    """The first counts; times are the clock's."""
    noted = records()
    record = noted.open("POST", "/", {})
    noted.end(record, Outcome.DISCONNECTED)
    noted.end(record, Outcome.FINISHED)

    assert (Outcome.DISCONNECTED, 1.0, 2.0) == (record.outcome, record.started, record.ended)


def test_statistics_count_by_outcome() -> None:
    """Each request once."""
    noted = records()
    for outcome in Outcome:
        record = noted.open("POST", "/", {})
        noted.started(record, "m", stream=True)
        noted.sent(record, 2)
        if outcome is not Outcome.OPEN:
            noted.end(record, outcome)
    counts = noted.statistics()

    assert (6, 1, 1) == (counts.requests, counts.requests_open, counts.streams_open)
    assert (1, 1, 1, 1) == (counts.streams_finished, counts.disconnects, counts.refused, counts.failed)
    assert (12, 5.0) == (counts.events_sent, counts.last_disconnect_at)


def test_records_are_bounded() -> None:
    """I10: the oldest are forgotten, the counts go on."""
    noted = records()
    for _ in range(MAX_RECORDS + 1):
        noted.open("GET", "/", {})

    assert MAX_RECORDS == len(list(noted))
    assert 2 == next(iter(noted)).number
    assert MAX_RECORDS + 1 == noted.statistics().requests


async def test_what_is_there_already_is_found() -> None:
    """No waiting for the past."""
    noted = records()
    record = noted.open("GET", "/", {})

    assert record is await noted.wait_for(lambda each: each.path == "/", timeout_s=0)


async def test_a_wait_ends_with_the_change_that_it_is_for() -> None:
    """Each step of a request is told."""
    noted = records()
    waits = [
        asyncio.ensure_future(noted.wait_for(predicate, timeout_s=5))
        for predicate in (
            lambda each: each.method == "POST",
            lambda each: each.model == "m",
            lambda each: each.events_sent >= 3,
            lambda each: each.outcome is Outcome.FINISHED,
        )
    ]
    await asyncio.sleep(0)
    done = []
    record = noted.open("POST", "/", {})
    done.append(await finished(waits))
    noted.started(record, "m", stream=True)
    done.append(await finished(waits))
    noted.sent(record, 3)
    done.append(await finished(waits))
    noted.end(record, Outcome.FINISHED)
    found = await asyncio.gather(*waits)

    assert [1, 2, 3] == done
    assert [record] * 4 == found


async def finished(waits: list[asyncio.Task[RequestRecord]]) -> int:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return sum(wait.done() for wait in waits)


async def test_a_wait_ends_in_time() -> None:
    """Nothing waits for ever."""
    noted = records()
    with pytest.raises(TimeoutError):
        await noted.wait_for(lambda _: True, timeout_s=0.001)


async def test_waits_are_bounded() -> None:
    """I10: more than anybody needs is a mistake, and is told."""
    noted = records()
    waits = [asyncio.ensure_future(noted.wait_for(lambda _: False, timeout_s=5)) for _ in range(MAX_WAITERS)]
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match=str(MAX_WAITERS)):
        await noted.wait_for(lambda _: True, timeout_s=5)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
