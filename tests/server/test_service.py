"""What every request carries, read the same way everywhere."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from streamkeep.errors import BadRequest
from streamkeep.server.service import flag, json_object, number, vendor_headers, while_connected
from streamkeep.testing.manual_clock import ManualClock

pytestmark = pytest.mark.anyio


class Caller:
    """A request whose caller can leave."""

    def __init__(self, body: bytes = b"") -> None:
        self.gone = asyncio.Event()
        self._body = [body]
        self.request = Request({"type": "http", "headers": []}, self._receive)

    async def _receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_a_body_is_a_json_object() -> None:
    """Anything else is refused before it is looked at."""
    assert {"a": [1]} == await json_object(Caller(b'{"a":[1]}').request)
    for body in (b"", b"[]", b"1", b"{", b'{"a":}', b"\xff", b'{"a":' * 50_000, b'"\xed\xa0\x80"'):
        with pytest.raises(BadRequest) as caught:
            await json_object(Caller(body).request)
        assert "invalid_json" == caught.value.code


@pytest.mark.parametrize("text, expected", [(None, 5.0), ("1", 1.0), ("1.5", 1.5), ("9", 9.0)])
def test_a_number_is_read_within_its_bounds(text: str | None, expected: float) -> None:
    """What is left out is the default."""
    assert expected == number(text, "n", default=5.0, low=1, high=9)


@pytest.mark.parametrize("text", ["", "x", "0", "10", "nan", "inf", "-1", "1e9", "1" * 400])
def test_a_number_out_of_bounds_is_named_with_them(text: str) -> None:
    """I10: the bounds stand in the text."""
    with pytest.raises(BadRequest, match="n: must be a number from 1 to 9"):
        number(text, "n", default=5.0, low=1, high=9)


@pytest.mark.parametrize("text, expected", [(None, True), ("0", False), ("1", True), ("false", False), ("true", True)])
def test_a_flag_is_yes_or_no(text: str | None, expected: bool) -> None:
    """What is left out is the default."""
    assert expected is flag(text, "f", default=True)
    with pytest.raises(BadRequest, match="f: must be 0 or 1"):
        flag("maybe", "f", default=True)


def test_only_the_vendors_headers_are_handed_on() -> None:
    """What is the vendor's can be told by its name."""
    given = {"Anthropic-Beta": "b", "x-api-key": "k", "cookie": "c", "anthropic-version": "v", "x-anthropic-y": "z"}

    assert {"anthropic-beta": "b", "anthropic-version": "v"} == vendor_headers(given)


async def run(caller: Caller, work: Any) -> list[str]:
    log = []
    async with while_connected(caller.request):
        log.append("began")
        await work
        log.append("done")
    log.append("went on")
    return log


async def test_work_runs_to_its_end_while_the_caller_stays() -> None:
    """The listener leaves no trace."""
    assert ["began", "done", "went on"] == await run(Caller(), ManualClock().advance(1))


async def test_work_ends_when_the_caller_leaves_and_the_handler_goes_on() -> None:
    """I6: what was waited for is not touched, and the task is not left marked as cancelled."""
    caller = Caller(b"body")
    task = asyncio.create_task(run(caller, ManualClock().advance(100)))
    await ManualClock().settle()

    caller.gone.set()

    assert ["began", "went on"] == await task
    assert 0 == task.cancelling()


async def test_a_cancellation_from_elsewhere_is_passed_on() -> None:
    """A server that ends its tasks is not taken for a caller that left."""
    task = asyncio.create_task(run(Caller(), ManualClock().advance(100)))
    await ManualClock().settle()

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
