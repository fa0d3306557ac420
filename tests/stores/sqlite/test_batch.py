"""What will be committed together."""

from streamkeep.errors import Conflict
from streamkeep.lifecycle import State
from streamkeep.stores.base import Append
from streamkeep.stores.sqlite.batch import Act, Batch
from streamkeep.stores.sqlite.live import Live
from tests.stores.samples import record, run_of


def a_live(id: str) -> Live:
    return Live(1, record(id), token=1, epochs=((1, "abc"),), seq=1, state=State.OPEN)


def an_append(id: str = "ada") -> Append:
    return Append(id, run_of(1, 1), after=1, token=1, done=lambda *_: None)


def test_a_batch_says_whether_there_is_anything_to_do() -> None:
    """Appends, acts and streams that are ripe are work."""
    batches = [Batch() for _ in range(4)]
    batches[1].appends.append((a_live("ada"), an_append(), State.OPEN))
    batches[2].acts.append(Act([], lambda _: None))
    batches[3].ripe.add(a_live("ada"))

    assert [False, True, True, True] == [bool(batch) for batch in batches]


def test_only_what_rests_on_a_failure_is_taken_out() -> None:
    """Appends and acts of the streams that failed go; others, and those of no stream, stay."""
    ada, bea, batch = a_live("ada"), a_live("bea"), Batch()
    batch.appends += [(ada, an_append(), State.OPEN), (bea, an_append("bea"), State.OPEN)]
    batch.acts += [Act([], lambda _: None, ada), Act([], lambda _: None)]
    batch.ripe |= {ada, bea}
    batch.ride(ada, an_append(), Conflict("", head=1))

    failed = batch.take_failed({ada})

    assert ([ada, ada], [bea]) == ([each[0] for each in failed.appends], [each[0] for each in batch.appends])
    assert ([ada], [None]) == ([act.live for act in failed.acts], [act.live for act in batch.acts])
    assert ({bea}, set()) == (batch.ripe, batch.riders)
    assert ({ada}, {bea}) == (failed.lives(), batch.lives())
