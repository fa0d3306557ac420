"""Limits on an upstream, each at its exact time."""

import pytest

from streamkeep.errors import UpstreamTimeout
from streamkeep.relay.policy import Timeouts
from streamkeep.relay.watchdog import Watchdog
from streamkeep.testing.manual_clock import ManualClock

pytestmark = pytest.mark.anyio

LIMITS = Timeouts(first_event=10, idle=4, content=12, total=30)


class Yard:
    """A watchdog, and when it barked."""

    def __init__(self, clock: ManualClock) -> None:
        self.barks: list[tuple[float, UpstreamTimeout]] = []
        self.clock = clock
        self.began = clock.time
        self.dog = Watchdog(LIMITS, lambda error: self.barks.append((round(clock.time - self.began, 3), error)))

    @property
    def heard(self) -> list[tuple[float, str]]:
        return [(at, error.code) for at, error in self.barks]


@pytest.fixture
async def yard(clock: ManualClock) -> Yard:
    return Yard(clock)


async def test_an_answer_must_begin_in_time(yard: Yard) -> None:
    """I10: bytes without an event are no beginning."""
    yard.dog.begin()
    await yard.clock.advance(6)
    yard.dog.life()
    await yard.clock.advance(20)

    assert [(10.0, "upstream_first_event_timeout")] == yard.heard


async def test_silence_after_the_first_event_is_noticed(yard: Yard) -> None:
    """I10: the idle limit counts from the last byte, the first event's included."""
    yard.dog.begin()
    await yard.clock.advance(3)
    yard.dog.life()
    yard.dog.event()
    await yard.clock.advance(2)
    yard.dog.life()
    await yard.clock.advance(20)

    assert [(9.0, "upstream_idle_timeout")] == yard.heard


async def test_signs_of_life_do_not_stand_for_content(yard: Yard) -> None:
    """I10: pings keep the connection alive, not the answer."""
    yard.dog.begin()
    for _ in range(7):
        await yard.clock.advance(2)
        yard.dog.life()
        yard.dog.event()

    assert [(12.0, "upstream_content_timeout")] == yard.heard


async def test_content_keeps_an_answer_going_until_the_total(yard: Yard) -> None:
    """I10: no answer goes on for ever; the total counts over all attempts and is not to be retried."""
    yard.dog.begin()
    for second in range(0, 40, 2):
        if second == 10:
            yard.dog.begin()
        yard.dog.life()
        yard.dog.event()
        yard.dog.content()
        await yard.clock.advance(2)

    assert [(30.0, "upstream_total_timeout")] == yard.heard
    assert not yard.barks[0][1].retryable


async def test_a_new_attempt_has_its_time_anew(yard: Yard) -> None:
    """What an attempt used up is not the next one's."""
    yard.dog.begin()
    await yard.clock.advance(9)
    yard.dog.begin()
    await yard.clock.advance(9)
    before = yard.heard
    await yard.clock.advance(2)

    assert ([], [(19.0, "upstream_first_event_timeout")]) == (before, yard.heard)
    assert yard.barks[0][1].retryable
    assert "10 s" in yard.barks[0][1].message


async def test_a_watchdog_that_was_stopped_is_silent(yard: Yard) -> None:
    """Between attempts nobody is to blame."""
    yard.dog.begin()
    yard.dog.stop()
    yard.dog.stop()
    await yard.clock.advance(100)

    assert [] == yard.heard
