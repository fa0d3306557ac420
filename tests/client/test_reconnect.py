"""When a reader that lost its connection comes back, and when it gives up."""

import pytest

from streamkeep.client.reconnect import LASTED_S, MAX_ASKED_S, MAX_PAUSE_S, MAX_TRIES, Reconnect

NEARLY_ONE = 0.999999


def test_pauses_grow_from_the_first_to_the_longest() -> None:
    """Each pause may last twice as long as the one before, up to a limit."""
    rules = Reconnect(max_tries=7, first_pause_s=0.5)

    pauses = [rules.pause_s(NEARLY_ONE) for _ in range(7)]

    assert pytest.approx([0.5, 1, 2, 4, 8, 8, 8], rel=1e-5) == pauses
    assert 8 == MAX_PAUSE_S


@pytest.mark.parametrize("random, share", [(0.0, 0.0), (0.25, 0.25), (NEARLY_ONE, 1.0)])
def test_a_pause_is_any_share_of_its_longest(random: float, share: float) -> None:
    """Full jitter: a crowd that was cut together comes back spread over the whole pause."""
    rules = Reconnect(first_pause_s=2.0)

    assert pytest.approx(2.0 * share, rel=1e-5) == rules.pause_s(random)


def test_the_budget_is_connections_in_a_row_that_brought_nothing() -> None:
    """I10, law 1: after so many the reader gives up; an entry gives it all of them back."""
    rules = Reconnect()
    spent = [rules.pause_s(0.0) for _ in range(MAX_TRIES + 1)]
    assert [0.0] * MAX_TRIES + [None] == spent

    rules.progressed()

    assert 0.0 == rules.pause_s(0.0)
    assert 1 == rules.failures


def test_a_connection_that_stood_was_a_good_one() -> None:
    """Law 1: a proxy that cuts a silent stream every minute can go on doing so."""
    rules = Reconnect(max_tries=1)

    assert [0.0] * 5 == [rules.pause_s(0.0, lasted_s=LASTED_S) for _ in range(5)]
    assert None is rules.pause_s(0.0, lasted_s=LASTED_S - 0.1)


@pytest.mark.parametrize("asked_s, pause_s", [(3.0, 3.0), (0.0, 0.0), (-5.0, 0.0), (10_000.0, MAX_ASKED_S)])
def test_a_server_that_says_how_long_is_obeyed(asked_s: float, pause_s: float) -> None:
    """Law 2: not sooner than asked, and not beyond the limit."""
    assert pause_s == Reconnect().pause_s(0.0, asked_s=asked_s)
    assert pytest.approx(pause_s + 0.25) == Reconnect(first_pause_s=0.5).pause_s(0.5, asked_s=asked_s)
