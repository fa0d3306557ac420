"""
Say when each piece of a stream is due, and what goes out together.

Due times are absolute, counted from the request, so that a late wake-up is made up for and nothing drifts.

Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from streamkeep.simulator.events import Event

TICK_S: Final = 0.004
"""Seconds between two wake-ups of one stream at least: up to 250 events a second each is written alone."""

MAX_TOGETHER: Final = 64
"""Pieces joined into one write: a stream without a pace still arrives in parts of some 10 KB."""


@dataclass(frozen=True, slots=True)
class Frame:
    """
    Bytes with the time they are due.

    Attributes:
        data: what is sent.
        due_s: seconds after the request.
        events: how many events are complete with it.
    """

    data: bytes
    due_s: float
    events: int = 1


def due_s(position: int, ttft_s: float, per_s: float) -> float:
    """
    Return when the token or event at a position, counted from 0, is due; a pace of 0 makes all due at once.
    """
    return ttft_s + (position / per_s if per_s else 0.0)


def paced(events: Iterable[Event], ttft_s: float, tokens_per_s: float) -> Iterator[Frame]:
    """
    Yield the events of an answer with their due times: what costs no token is due with the token before it.
    """
    tokens = 0
    for event in events:
        tokens += event.tokens
        yield Frame(event.frame, due_s(max(0, tokens - 1), ttft_s, tokens_per_s))


def due_until(frames: Sequence[Frame], start: int, elapsed_s: float, most: int = MAX_TOGETHER) -> int:
    """
    Return where the frames that are due end, from `start` on, `most` at most.
    """
    end = start
    while end < min(len(frames), start + most) and frames[end].due_s <= elapsed_s:
        end += 1
    return end


def pause_s(due: float, elapsed_s: float) -> float:
    """
    Return how long to sleep before the next frame: until it is due, but at least a tick; 0 if it is due already.
    """
    return max(due - elapsed_s, TICK_S) if due > elapsed_s else 0.0
