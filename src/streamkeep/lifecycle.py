"""
Say which entry may follow in which state.

Pure: no I/O, no clock.

Rule 1: everything that decides whether an entry is legal lives in `TABLE`. A missing key is the error.
Rule 2: this file does not know who writes or where.

    NEW ──accepted──▶ OPEN ──cancel_requested──▶ CANCELLING
                       │                            │
                       ├─completed─▶ COMPLETED ◀────┤   (it finished first)
                       ├─failed────▶ FAILED ◀───────┤
                       └             CANCELLED ◀────┘

A second ending is refused, the first wins (I3); nothing follows an ending (I14).
"""

from enum import Enum

from streamkeep import entry as names
from streamkeep.errors import StreamClosed


class State(Enum):
    """Where a stream stands."""

    NEW = "new"
    """No entry yet; never stored."""
    OPEN = "open"
    """Accepted; the answer may be on its way."""
    CANCELLING = "cancelling"
    """A stop was requested and not yet sealed."""
    COMPLETED = "completed"
    """Ended: the provider finished its answer."""
    FAILED = "failed"
    """Ended: it broke, and the last entry says how."""
    CANCELLED = "cancelled"
    """Ended: it was stopped."""

    @property
    def ended(self) -> bool:
        """True if nothing can follow."""
        return self in _ENDED


PROVIDER_EVENT = "*"
"""Stands in `TABLE` for every name that is not the relay's own."""

TABLE: dict[State, dict[str, State]] = {
    State.NEW: {names.ACCEPTED: State.OPEN},
    State.OPEN: {
        PROVIDER_EVENT: State.OPEN,
        names.ATTEMPT: State.OPEN,
        names.SEAM: State.OPEN,
        names.CANCEL_REQUESTED: State.CANCELLING,
        names.COMPLETED: State.COMPLETED,
        names.FAILED: State.FAILED,
    },
    State.CANCELLING: {
        PROVIDER_EVENT: State.CANCELLING,
        names.ATTEMPT: State.CANCELLING,
        names.SEAM: State.CANCELLING,
        names.CANCEL_REQUESTED: State.CANCELLING,
        names.COMPLETED: State.COMPLETED,
        names.FAILED: State.FAILED,
        names.CANCELLED: State.CANCELLED,
    },
    State.COMPLETED: {},
    State.FAILED: {},
    State.CANCELLED: {},
}
"""The whole grammar."""

_ENDED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class IllegalEntry(ValueError):
    """An entry that may not follow here: a mistake of the program, never of a caller."""


def step(state: State, name: str) -> State:
    """
    Give the state after an entry called `name`.

    Raises:
        StreamClosed: The stream has ended.
        IllegalEntry: The name may not follow in this state.
    """
    row = TABLE[state]
    following = row.get(name) or (None if name.startswith("stream.") else row.get(PROVIDER_EVENT))
    if following is not None:
        return following
    if state.ended:
        raise StreamClosed(f"The stream has ended ({state.value}); nothing can be added to it.")
    raise IllegalEntry(f"{name} may not follow in state {state.value}")
