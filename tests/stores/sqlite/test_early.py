"""Stops that overtook their start."""

from streamkeep.stores.base import EARLY_CANCEL_S
from streamkeep.stores.sqlite.early import EarlyCancels
from tests.stores.samples import NOW


def test_a_stop_counts_for_a_while() -> None:
    """I14: until then it wins over the start; later it does not."""
    early = EarlyCancels([("ada", NOW)])

    assert early.peek("ada", NOW + EARLY_CANCEL_S)
    assert not early.peek("ada", NOW + EARLY_CANCEL_S + 1)
    assert not early.peek("bea", NOW)


def test_the_oldest_gives_way() -> None:
    """I10: remembered stops are bounded, in memory and in the file; remembering again makes a stop young."""
    early = EarlyCancels([("ada", NOW), ("bea", NOW + 1)], limit=2)

    early.remember("ada", NOW + 2)
    statements = early.remember("cyd", NOW + 3)

    assert [True, False, True] == [early.peek(id, NOW + 3) for id in ("ada", "bea", "cyd")]
    assert ("DELETE FROM early_cancels WHERE id = ?", ("bea",)) in statements


def test_what_is_forgotten_is_forgotten_in_both_places() -> None:
    """Statements are given only for what is there."""
    early = EarlyCancels([("ada", NOW)])

    assert 1 == len(early.forget("ada"))
    assert [] == early.forget("ada")
    early.remember("bea", NOW)
    early.expire(NOW + EARLY_CANCEL_S + 1)
    assert [] == early.forget("bea")
