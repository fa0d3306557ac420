"""A batch as statements, and what of the journal can go."""

from streamkeep.entry import ACCEPTED, COMPLETED
from streamkeep.lifecycle import State
from streamkeep.stores.base import Append
from streamkeep.stores.sqlite.batch import Batch
from streamkeep.stores.sqlite.journal import TRIM_COMMITS, TRIM_ROWS, Journal
from streamkeep.stores.sqlite.live import Live, size_of
from streamkeep.stores.sqlite.seal import open_block, open_parts
from tests.stores.samples import entry, record, run_of


def a_live(key: int, id: str) -> Live:
    live = Live(key, record(id), token=1, epochs=((1, "abc"),), seq=0, state=State.NEW)
    live.advance([entry(1, ACCEPTED)], 0)
    return live


def offer(batch: Batch, live: Live, count: int, state: State = State.OPEN) -> None:
    entries = run_of(live.seq, count)
    if state.ended:
        entries[-1] = entry(entries[-1].seq, COMPLETED)
    batch.appends.append((live, Append(live.record.id, entries, after=live.seq, token=1, done=lambda *_: None), state))
    live.offer(entries, state, size_of(entries))


def commit(journal: Journal, batch: Batch) -> list[str]:
    """Pretend to write; give the beginnings of the statements."""
    statements = journal.prepare(batch)
    for live, append, _ in batch.appends:
        live.durable, live.durable_state = append.entries[-1].seq, live.state
    journal.committed(batch)
    return [" ".join(sql.split()[:3]) for sql, _ in statements]


def test_one_row_holds_the_new_entries_of_all_streams() -> None:
    """However many appends, the commit is one statement."""
    ada, bea, batch = a_live(1, "ada"), a_live(2, "bea"), Batch()
    journal = Journal({"ada": ada, "bea": bea}, [(7, 100)])
    offer(batch, ada, 2)
    offer(batch, bea, 1)
    offer(batch, ada, 1)

    [(_, (n, data))] = journal.prepare(batch)

    assert 8 == n
    assert [(1, run_of(1, 2)), (2, run_of(1, 1)), (1, run_of(3, 1))] == open_parts(data)


def test_a_stream_that_is_ripe_goes_into_a_block_instead() -> None:
    """Its entries of this commit stand once, with those that only the journal had."""
    ada, bea, batch = a_live(1, "ada"), a_live(2, "bea"), Batch()
    journal = Journal({"ada": ada, "bea": bea})
    offer(batch, ada, 1)
    offer(batch, bea, 1, State.COMPLETED)
    batch.ripe.add(bea)

    row, block, ending = journal.prepare(batch)

    assert [(1, run_of(1, 1))] == open_parts(row[1][1])
    assert (2, 1, 2, "completed") == block[1][:4]
    assert [entry(1, ACCEPTED), entry(2, COMPLETED)] == open_block(block[1][4])
    assert ("completed", 2) == ending[1][:2]


def test_rows_go_when_all_their_entries_are_in_blocks() -> None:
    """Trimming stops before the oldest row that a live stream needs, and before the last row."""
    ada, bea = a_live(1, "ada"), a_live(2, "bea")
    ada.oldest_row = bea.oldest_row = 0
    journal = Journal({"ada": ada, "bea": bea})
    for number in range(2 * TRIM_COMMITS):
        batch = Batch()
        offer(batch, bea if number == 20 else ada, 1)
        if number == 40:
            batch.ripe.add(ada)
        commit(journal, batch)

    assert 2 * TRIM_COMMITS - 1 - 20 == len(journal)
    batch = Batch()
    batch.ripe |= {ada, bea}
    commit(journal, batch)
    assert (0, 0) == (ada.oldest_row, bea.oldest_row)


def test_a_trim_is_bounded() -> None:
    """I10: a long journal is removed piece by piece."""
    journal = Journal({}, [(n, 10) for n in range(1, 5 * TRIM_ROWS)])
    for _ in range(TRIM_COMMITS):
        commit(journal, Batch())

    assert 4 * TRIM_ROWS - 1 == len(journal)
    assert 10 * len(journal) == journal.size


def test_a_long_journal_puts_the_oldest_streams_into_blocks() -> None:
    """I10: quiet streams do not keep it for ever, whether it has many rows or many bytes."""
    for limits in ({"max_rows": 10}, {"max_bytes": 1000}):
        lives = {f"s{key}": a_live(key, f"s{key}") for key in range(1, 101)}
        for key, live in enumerate(lives.values(), 1):
            live.oldest_row = key
        journal = Journal(lives, [(n, 100) for n in range(1, 101)], **limits)
        batch = Batch()
        for _ in range(TRIM_COMMITS):
            batch = Batch()
            journal.prepare(batch)

        assert [*lives][:32] == sorted((live.record.id for live in batch.ripe), key=lambda id: int(id[1:]))


def test_an_emptied_journal_keeps_its_numbering() -> None:
    """The last row stays without what it held, so that no number is used twice."""
    journal = Journal({}, [(5, 10), (6, 10)])

    assert [(6,), 6] == [journal.emptied()[0][1], journal.emptied()[1][1][1]]
    commit(journal, Batch())
    assert 1 == len(journal)
