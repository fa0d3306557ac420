"""The ladder's rungs: when an attempt is followed by another."""

import pytest

from streamkeep.errors import StoreFull, StreamkeepError, UpstreamBroken, UpstreamBusy, UpstreamRefused
from streamkeep.relay.policy import Policy
from streamkeep.relay.recovery import FIRST_DELAY_S, MAX_DELAY_S, MAX_WAIT_S, Break, GiveUp, Retry, next_step

BUSY = UpstreamBusy("busy")
POLICY = Policy(retries=10)


def step(broken: Break, jitter: float = 1.0, policy: Policy = POLICY) -> Retry | GiveUp:
    return next_step(broken, policy, lambda: jitter)


def test_pauses_grow_by_powers_of_two_up_to_a_limit_with_full_jitter() -> None:
    """I10: the longest pause doubles, and anything from nothing up to it may be drawn."""
    longest = [step(Break(BUSY, attempt, False, 0)) for attempt in range(1, 8)]
    shortest = step(Break(BUSY, 7, False, 0), jitter=0.0)

    assert [Retry(min(FIRST_DELAY_S * 2**n, MAX_DELAY_S)) for n in range(7)] == longest
    assert Retry(0.0) == shortest


@pytest.mark.parametrize(
    "broken",
    [
        Break(BUSY, 1, True, 0),
        Break(UpstreamRefused("no"), 1, False, 0),
        Break(StoreFull("full"), 1, False, 0),
        Break(StreamkeepError("ours"), 1, False, 0),
        Break(UpstreamBroken("x", retryable=False), 1, False, 0),
        Break(BUSY, 11, False, 0),
        Break(BUSY, 5, False, MAX_WAIT_S),
    ],
    ids=["visible", "refused", "store", "ours", "told not to", "tries", "time"],
)
def test_what_no_repetition_mends_is_given_up(broken: Break) -> None:
    """Only an upstream's passing trouble is retried, only unseen, only so often and so long."""
    assert GiveUp() == step(broken)


def test_the_upstreams_own_wish_is_the_least_pause() -> None:
    """`retry-after` goes before our own drawing, unless it asks for more than is left."""
    asking = UpstreamBusy("busy", retry_after=20)

    assert Retry(20) == step(Break(asking, 1, False, MAX_WAIT_S - 20))
    assert GiveUp() == step(Break(asking, 1, False, MAX_WAIT_S - 19))
    assert Retry(MAX_DELAY_S) == step(Break(UpstreamBusy("busy", retry_after=1), 6, False, 0))


def test_without_retries_nothing_is_retried() -> None:
    """The policy has the last word."""
    assert GiveUp() == step(Break(BUSY, 1, False, 0), policy=Policy(retries=0))
