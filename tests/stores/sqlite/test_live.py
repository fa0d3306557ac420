"""A stream in memory while it is written."""

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, COMPLETED
from streamkeep.lifecycle import State
from streamkeep.stores.sqlite.live import ENTRY_BYTES, KEPT_BYTES, Live, size_of
from tests.stores.samples import entry, record, run_of

EPOCHS: tuple[tuple[int, str], ...] = ((1, "abc"),)


def a_live(count: int = 4, size: int = 20) -> Live:
    """Make a stream with durable entries, none of them in a block."""
    live = Live(1, record(), token=1, epochs=EPOCHS, seq=0, state=State.NEW)
    assert live.advance([entry(1, ACCEPTED, size), *run_of(1, count - 1, size)], 5)
    return live


def test_what_is_offered_is_not_seen() -> None:
    """I1: readers see what is durable."""
    live = a_live()
    live.offer(run_of(4, 2), State.OPEN, 104)

    assert (6, 4) == (live.seq, live.head().seq)
    assert [3, 4] == [each.seq for each in live.seen(2)]
    live.settle()
    assert 6 == live.head().seq


def test_a_failure_falls_back_to_what_is_durable() -> None:
    """Everything offered is undone: entries, state, token, epochs, size."""
    live = a_live()
    before = (live.head(), live.size)
    live.offer([entry(5, COMPLETED)], State.COMPLETED, 52)
    live.token, live.epochs = 2, ((1, "abc"), (5, "def"))

    live.fall_back()

    assert before == (live.head(), live.size)
    assert (4, State.OPEN, 1, EPOCHS) == (live.seq, live.state, live.token, live.epochs)


def test_a_fallen_stream_without_entries_of_its_own_pins_no_row() -> None:
    """A journal row that was never written must not be waited for."""
    live = a_live()
    live.put_in_block(4, live.size)
    live.offer(run_of(4, 1), State.OPEN, 52)
    live.oldest_row = 9

    live.fall_back()

    assert 0 == live.oldest_row


def test_the_newest_of_a_block_stay_in_memory() -> None:
    """The readers that a commit wakes find what they came for without the file."""
    live = a_live(100, size=1000)
    live.put_in_block(100, live.size)

    kept = live.seen(live.start)
    assert 0 == live.size
    assert 100 == kept[-1].seq
    assert KEPT_BYTES <= size_of(kept) < KEPT_BYTES + 1000 + ENTRY_BYTES
    assert [] == live.unblocked()


def test_one_entry_stays_however_large() -> None:
    """The ending of a stream is told from memory."""
    live = a_live(2, size=10 * KEPT_BYTES)
    live.put_in_block(2, live.size)

    assert [2] == [each.seq for each in live.seen(live.start)]


def test_the_request_goes_with_the_ending() -> None:
    """Nobody takes an ended stream over."""
    live = a_live()
    live.offer([entry(5, COMPLETED)], State.COMPLETED, 52)
    live.settle()
    live.put_in_block(5, live.size)

    head = live.head()
    assert (b"", State.COMPLETED) == (head.record.request, head.state)
    assert (entry(5, COMPLETED).at, entry(5, COMPLETED).data) == (head.ended_at, head.ending)


def test_known_entries_are_passed_over_and_gaps_are_told() -> None:
    """Reading the journal again changes nothing; entries behind a gap are not taken."""
    live = a_live()

    assert live.advance(run_of(1, 2), 6)
    assert live.advance([*run_of(2, 3), entry(6, CANCEL_REQUESTED)], 7)
    assert not live.advance(run_of(7, 1), 8)
    assert (6, 6, State.CANCELLING, 5) == (live.seq, live.durable, live.state, live.oldest_row)
