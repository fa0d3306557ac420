"""
Decide what follows when an attempt fails: the ladder's rungs, one function each.

Pure: no I/O, no clock.

Strategy
    The producer tells what happened as a `Break` and does what it is told. Today's ladder has one rung, the retry
    before anything is visible; further rungs are further functions that give a further kind of step.
"""

from collections.abc import Callable

import msgspec

from streamkeep.errors import StreamkeepError
from streamkeep.relay.policy import Policy

FIRST_DELAY_S = 0.5
"""Longest first pause, in seconds; the vendors' SDKs begin there (anthropic 2.10.0 `_constants.py`)."""

MAX_DELAY_S = 8.0
"""Longest pause of our own choosing, in seconds."""

MAX_WAIT_S = 60.0
"""All pauses of one stream together, in seconds. An upstream that asks for more than is left is not waited for."""


class Break(msgspec.Struct, frozen=True):
    """An attempt that failed."""

    error: StreamkeepError
    attempt: int
    """Which one it was, from 1."""
    visible: bool
    """Whether readers have seen something of the answer."""
    waited_s: float
    """Seconds paused so far."""


class Retry(msgspec.Struct, frozen=True):
    """Ask again after a pause."""

    delay_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """End the stream as failed."""


def next_step(broken: Break, policy: Policy, random: Callable[[], float]) -> Retry | GiveUp:
    """
    Find the first rung that applies.

    Args:
        broken: What happened.
        policy: The stream's.
        random: Gives numbers from 0 up to 1, for jitter.
    """
    return _retry(broken, policy, random) or GiveUp()


def _retry(broken: Break, policy: Policy, random: Callable[[], float]) -> Retry | None:
    error = broken.error
    if broken.visible or not error.retryable or error.blame != "upstream" or broken.attempt > policy.retries:
        return None
    delay_s = min(FIRST_DELAY_S * 2 ** (broken.attempt - 1), MAX_DELAY_S) * random()
    if error.retry_after is not None:
        delay_s = max(delay_s, error.retry_after)
    return Retry(delay_s) if broken.waited_s + delay_s <= MAX_WAIT_S else None
