"""One timer for everybody who is connected."""

import pytest

from streamkeep.errors import Overloaded
from streamkeep.server.heart import LOOK_S, Heart
from streamkeep.testing.manual_clock import ManualClock

pytestmark = pytest.mark.anyio


class Patient:
    """A reader whose heart beats are counted."""

    def __init__(self, clock: ManualClock) -> None:
        self.sent_at = clock.time
        self.sending = False
        self.beats: list[float] = []
        self.ends: list[tuple[str, float]] = []
        self._clock = clock

    def beat(self) -> None:
        self.sent_at = self._clock.time
        self.beats.append(round(self._clock.time, 3))

    def cut(self) -> None:
        self.ends.append(("cut", self._clock.time))

    def abort(self) -> None:
        self.ends.append(("abort", self._clock.time))


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


async def test_a_silent_reader_gets_a_beat_in_every_interval(clock: ManualClock) -> None:
    """One timer for all, so a beat is at most one look late."""
    patient = Patient(clock)
    began = clock.time
    async with Heart(heartbeat_s=10, send_timeout_s=30, max_readers=9) as heart:
        heart.join(patient)
        await clock.advance(35)
        heart.leave(patient)
        await clock.advance(35)

    assert 3 == len(patient.beats)
    assert all(
        10 <= beat - before <= 10 + 2 * LOOK_S
        for before, beat in zip([began, *patient.beats], patient.beats, strict=False)
    )


async def test_a_reader_that_takes_nothing_is_aborted_and_a_quick_one_is_not(clock: ManualClock) -> None:
    """I4, I10: the limit counts from the send that is stuck."""
    stuck, quick = Patient(clock), Patient(clock)
    stuck.sending = True
    began = clock.time
    async with Heart(heartbeat_s=60, send_timeout_s=5, max_readers=9) as heart:
        heart.join(stuck)
        heart.join(quick)
        await clock.advance(5 + LOOK_S)

    assert [] == quick.ends
    assert "abort" == stuck.ends[0][0]
    assert 5 <= stuck.ends[0][1] - began <= 5 + LOOK_S


async def test_a_short_interval_is_looked_at_often_enough(clock: ManualClock) -> None:
    """An interval below the look's own is kept all the same."""
    patient = Patient(clock)
    async with Heart(heartbeat_s=0.1, send_timeout_s=5, max_readers=9) as heart:
        heart.join(patient)
        await clock.advance(1)

    assert len(patient.beats) >= 6


async def test_places_are_bounded_and_given_back(clock: ManualClock) -> None:
    """I10: the limit stands in the error's text."""
    heart = Heart(heartbeat_s=1, send_timeout_s=1, max_readers=1)
    patient = Patient(clock)
    heart.admit()
    heart.join(patient)

    with pytest.raises(Overloaded, match="All 1 places"):
        heart.admit()
    heart.leave(patient)
    heart.admit()

    assert 0 == heart.readers


async def test_all_are_cut_and_waited_for_no_longer_than_said(clock: ManualClock) -> None:
    """I12: on the way down readers have their time to take the end, then they are cut."""
    heart = Heart(heartbeat_s=1, send_timeout_s=1, max_readers=9)
    await heart.wait_empty(5)
    empty_at = clock.time
    patients = [Patient(clock) for _ in range(3)]
    for patient in patients:
        heart.join(patient)
    await heart.wait_empty(5)
    waited = clock.time - empty_at
    heart.cut_all()

    assert 5 == pytest.approx(waited, abs=0.001)
    assert ["cut"] * 3 == [patient.ends[0][0] for patient in patients]


async def test_a_heart_that_never_beat_can_stop() -> None:
    """Leaving without having entered is nothing."""
    await Heart(heartbeat_s=1, send_timeout_s=1, max_readers=1).__aexit__(None, None, None)
