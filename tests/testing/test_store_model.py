"""The model that stores are held against."""

import pytest

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, COMPLETED
from streamkeep.errors import Conflict, LeaseHeld, StreamClosed, StreamExists, StreamExpired, StreamLive, StreamNotFound
from streamkeep.lifecycle import State
from streamkeep.stores.base import Lease
from streamkeep.testing.store_model import StoreModel, outcome
from tests.stores.samples import NOW, entry, record, run_of


def begun(model: StoreModel, id: str = "ada", **changes: object) -> bool:
    replayed = model.create(record(id, **changes), entry(1, ACCEPTED), entry(2, CANCEL_REQUESTED), "abc", 30.0)
    if not replayed:
        model.streams[id].leases.append(Lease(id=id, token=1, epoch="abc", after=1))
    return replayed


def test_a_stream_is_written_and_ended() -> None:
    """I2, I3: the model itself keeps the rules that it checks."""
    model = StoreModel()
    begun(model)
    model.append("ada", run_of(1, 2), 1, 1)
    model.append("ada", run_of(1, 2), 1, 1)
    with pytest.raises(Conflict) as refused:
        model.append("ada", run_of(1, 1, size=50), 1, 1)
    model.append("ada", [entry(4, COMPLETED)], 3, 1)
    with pytest.raises(StreamClosed):
        model.append("ada", run_of(4, 1), 4, 1)

    assert "Conflict at 3" == outcome(refused.value)
    assert (4, State.COMPLETED, b"") == (
        model.find("ada").head().seq,
        model.find("ada").head().state,
        model.find("ada").head().record.request,
    )


def test_starts_are_idempotent() -> None:
    """I14, I15: same request same stream; an early stop is written with the start."""
    model = StoreModel()
    model.remember_cancel("ada", NOW)
    assert not begun(model, idempotency_key="k")
    assert begun(model, "bea", idempotency_key="k")
    with pytest.raises(StreamExists):
        begun(model, fingerprint="other")

    assert State.CANCELLING == model.find("ada").state


def test_time_takes_ended_streams_only() -> None:
    """What expired leaves a grave for a day."""
    model = StoreModel()
    begun(model, ttl_s=10.0)
    assert 0 == model.expire(NOW + 1e6)
    with pytest.raises(StreamLive):
        model.delete("ada")
    model.append("ada", [entry(2, COMPLETED)], 1, 1)
    assert 1 == model.expire(NOW + 12)
    with pytest.raises(StreamExpired):
        model.find("ada")
    model.expire(NOW + 12 + 86_400)
    with pytest.raises(StreamNotFound):
        model.find("ada")


def test_a_lease_is_held_until_it_runs_out() -> None:
    """Taking over needs an end of the lease, by time or by giving it back."""
    model = StoreModel()
    begun(model)
    with pytest.raises(LeaseHeld):
        model.acquire("ada", "def", NOW + 29, 30.0)
    model.release(model.find("ada").leases[0])

    assert [(1, "abc"), (2, "def")] == model.acquire("ada", "def", NOW + 29, 30.0).epochs
    assert "done" == outcome(None)
