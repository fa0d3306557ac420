"""A store in memory that answers late, refuses, or cannot be read, as a test says."""

from collections.abc import Callable

from streamkeep.entry import Entry
from streamkeep.errors import StreamkeepError
from streamkeep.stores.base import MAX_READ_BYTES, Append, Head
from streamkeep.stores.memory import MemoryStore


class StubbornStore(MemoryStore):
    """
    Judges as the memory store does, but when and if the test wants.

    Attributes:
        holding: Keep appends back until `commit`.
        held: Appends kept back.
        refusal: Gives the error for an append, or None to take it.
        unreadable: Raised by whoever reads.
        submitted: How many appends came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.holding = False
        self.held: list[Append] = []
        self.refusal: Callable[[Append], StreamkeepError | None] = lambda _: None
        self.unreadable: StreamkeepError | None = None
        self.submitted = 0

    def submit(self, append: Append) -> None:
        self.submitted += 1
        if self.holding:
            self.held.append(append)
        else:
            self._answer(append)

    def commit(self, count: int | None = None) -> None:
        """Answer the oldest appends that are held, or all of them."""
        count = len(self.held) if count is None else count
        due, self.held = self.held[:count], self.held[count:]
        for append in due:
            self._answer(append)

    def let_go(self) -> None:
        """Answer all that is held, and hold nothing any more."""
        self.holding = False
        self.commit()

    def _answer(self, append: Append) -> None:
        error = self.refusal(append)
        if error is None:
            super().submit(append)
        else:
            append.done(append, error)

    async def read(self, id: str, after: int, *, max_bytes: int = MAX_READ_BYTES) -> list[Entry]:
        if self.unreadable is not None:
            raise self.unreadable
        return await super().read(id, after, max_bytes=max_bytes)

    async def head(self, id: str) -> Head:
        if self.unreadable is not None:
            raise self.unreadable
        return await super().head(id)
