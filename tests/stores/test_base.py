"""The rules that all stores share."""

import pytest

from streamkeep.cursor import Cursor
from streamkeep.entry import CANCEL_REQUESTED, COMPLETED
from streamkeep.errors import Conflict, Fenced, StreamClosed, StreamExists, StreamkeepError
from streamkeep.lifecycle import IllegalEntry, State
from streamkeep.stores.base import Append, Head, earlier_start, is_repetition, judge, page
from tests.stores.samples import NOW, entry, record, run_of


def an_append(*entries: object, after: int = 4, token: int | None = 2) -> Append:
    return Append("ada", entries, after=after, token=token, done=lambda *_: None)  # type: ignore[arg-type]


def test_an_append_that_follows_gives_the_state_after_it() -> None:
    """The lifecycle's table decides what comes after."""
    assert State.OPEN == judge(an_append(entry(5)), seq=4, state=State.OPEN, token=2)
    assert State.COMPLETED == judge(an_append(entry(5), entry(6, COMPLETED)), seq=4, state=State.OPEN, token=2)
    assert State.CANCELLING == judge(
        an_append(entry(5, CANCEL_REQUESTED), token=None), seq=4, state=State.OPEN, token=2
    )


@pytest.mark.parametrize(
    "append, state, error",
    [
        (an_append(entry(5), token=1), State.OPEN, Fenced),
        (an_append(entry(5), token=3), State.OPEN, Fenced),
        (an_append(entry(5), token=None), State.OPEN, Fenced),
        (an_append(entry(5), token=1), State.FAILED, Fenced),
        (an_append(entry(5)), State.FAILED, StreamClosed),
        (an_append(entry(4), after=3), State.OPEN, Conflict),
        (an_append(entry(6), after=5), State.OPEN, Conflict),
        (an_append(entry(6), after=4), State.OPEN, Conflict),
    ],
)
def test_what_may_not_be_written_is_refused_by_name(append: Append, state: State, error: type[StreamkeepError]) -> None:
    """I3: a stale writer, a writer that missed something and one that is too late are told which they are."""
    with pytest.raises(error):
        judge(append, seq=4, state=state, token=2)


@pytest.mark.parametrize(
    "entries", [[entry(5), entry(7)], [entry(5, "stream.accepted")], [entry(5, "stream.cancelled")]]
)
def test_a_mistake_of_the_program_is_no_refusal(entries: list[object]) -> None:
    """I2: entries that are not in a row, or that the lifecycle does not know there, are not the caller's fault."""
    with pytest.raises(IllegalEntry):
        judge(an_append(*entries), seq=4, state=State.OPEN, token=2)


def test_a_repetition_is_the_same_bytes_at_the_same_place() -> None:
    """Law 2: only what was written just so counts as written."""
    written = run_of(4, 3)

    assert is_repetition(an_append(*written[:2]), written)
    assert not is_repetition(an_append(*written), written[:2])
    assert not is_repetition(an_append(entry(5, size=21)), written)


def test_a_start_is_matched_by_its_key_before_its_id() -> None:
    """I15: a key finds the stream it started, whatever id the repetition came with."""
    first = record("ada", idempotency_key="k")

    assert None is earlier_start(first, None, None)
    assert first == earlier_start(record("bea", idempotency_key="k"), None, first)
    assert first == earlier_start(first, first, first)
    assert first == earlier_start(record("ada"), first, None)


@pytest.mark.parametrize("by_id, by_key", [("ada", None), (None, "ada"), ("ada", "bea")])
def test_a_start_with_another_request_is_refused(by_id: str | None, by_key: str | None) -> None:
    """I15: other body, or an id and a key of two streams."""
    fingerprint = "f" * 64 if by_id and by_key else "other"
    known = [record(each, fingerprint=fingerprint) if each else None for each in (by_id, by_key)]

    with pytest.raises(StreamExists):
        earlier_start(record("ada", idempotency_key="k"), *known)


def test_a_page_has_at_least_one_entry_and_stays_within_its_bytes() -> None:
    """I10: a page is bounded, except by one entry that alone is larger."""
    entries = run_of(0, 5, size=100)

    assert entries[:1] == page(entries, 1)
    assert entries[:2] == page(entries, 299)
    assert entries[:3] == page(entries, 300)
    assert [] == page([], 1)


def test_a_head_gives_the_cursor_of_somebody_who_has_it_all() -> None:
    """The epoch is the one in which the last entry was written."""
    head = Head(record=record(), seq=4, state=State.OPEN, epochs=((1, "aaa"), (5, "bbb")))

    assert Cursor("aaa", 4) == head.cursor
    assert "ada" == head.id
    assert NOW == head.record.created_at
