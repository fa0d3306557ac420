"""
Remember stops that overtook their start.
"""

from collections.abc import Iterable

from streamkeep.stores.base import EARLY_CANCEL_S, MAX_EARLY_CANCELS
from streamkeep.stores.sqlite.streams import Statement


class EarlyCancels:
    """
    The remembered stops, oldest first; the file has the same ones.

    Args:
        known: `(id, when)` from the file, oldest first.
        limit: How many to remember at once.
    """

    def __init__(self, known: Iterable[tuple[str, float]] = (), *, limit: int = MAX_EARLY_CANCELS) -> None:
        self._at = dict(known)
        self._limit = limit

    def remember(self, id: str, now: float) -> list[Statement]:
        """Add one; the oldest gives way."""
        statements: list[Statement] = []
        self._at.pop(id, None)
        while len(self._at) >= self._limit:
            oldest = next(iter(self._at))
            del self._at[oldest]
            statements.append(("DELETE FROM early_cancels WHERE id = ?", (oldest,)))
        self._at[id] = now
        return [*statements, ("INSERT OR REPLACE INTO early_cancels (id, at) VALUES (?, ?)", (id, now))]

    def peek(self, id: str, now: float) -> bool:
        """Tell whether a stop is remembered and still counts."""
        at = self._at.get(id)
        return at is not None and now - at <= EARLY_CANCEL_S

    def forget(self, id: str) -> list[Statement]:
        """Remove one."""
        if self._at.pop(id, None) is None:
            return []
        return [("DELETE FROM early_cancels WHERE id = ?", (id,))]

    def expire(self, now: float) -> list[Statement]:
        """Remove those that no longer count."""
        self._at = {id: at for id, at in self._at.items() if now - at <= EARLY_CANCEL_S}
        return [("DELETE FROM early_cancels WHERE at < ?", (now - EARLY_CANCEL_S,))]
