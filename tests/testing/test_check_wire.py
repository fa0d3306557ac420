"""The wire checker: ours pass it, and wires with a planted mistake do not."""

import itertools
from collections.abc import Callable

import pytest

from streamkeep import registry, sse
from streamkeep.entry import Entry
from streamkeep.testing.check_wire import check_wire, hostile_logs, sample_logs
from streamkeep.wire.base import Encoder, Options, is_one_line
from streamkeep.wire.native import Native
from streamkeep.wire.text import Text


@pytest.mark.parametrize("name", registry.names("wire"))
def test_a_wire_that_keeps_its_promises_passes(name: str) -> None:
    """I5, I12: the checker asks for nothing that ours do not do."""
    check_wire(registry.wire(name), sample_logs())


def encoding(encode: Callable[[Entry, str], bytes]) -> type[Native]:
    """Make a wire of a function."""

    class Simple:
        def encode(self, entry: Entry, epoch: str) -> bytes:
            return encode(entry, epoch)

    class Wire(Native):
        def encoder(self, options: Options) -> Encoder:
            return Simple()

    return Wire


_turns = itertools.count()


def counting(entry: Entry, epoch: str) -> bytes:
    return sse.encode(b"{}", event=f"x{next(_turns)}", id=f"{epoch}.{entry.seq}")


def behind(entry: Entry, epoch: str) -> bytes:
    return sse.encode(b"{}", id=f"{epoch}.{entry.seq + 1}")


def open_ended(entry: Entry, epoch: str) -> bytes:
    return b"id: %b.%d\ndata: {}\n" % (epoch.encode(), entry.seq)


def unescaped(entry: Entry, epoch: str) -> bytes:
    name = entry.name if is_one_line(Entry(1, 0.0, entry.name, b"")) else "x"
    return b"event: %b\ndata: %b\n\n" % (name.encode(), entry.data or b"{}")


def trusting(entry: Entry, epoch: str) -> bytes:
    return b"event: %b\ndata: {}\n\n" % entry.name.encode("utf-8", "replace")


def speechless(entry: Entry, epoch: str) -> bytes:
    return b""


def textual(entry: Entry, epoch: str) -> bytes:
    return "text"  # type: ignore[return-value]


class Remembering(Native):
    """Says that a frame depends on its own entry alone, and counts."""

    def encoder(self, options: Options) -> Encoder:
        class Counting:
            count = 0

            def encode(self, entry: Entry, epoch: str) -> bytes:
                self.count += 1
                return sse.encode(b"%d" % self.count, id=f"{epoch}.{entry.seq}")

        return Counting()


class Sharing(Native):
    """Gives every reader the same encoder, which counts; starts anew with the first entry."""

    def stateless(self, options: Options) -> bool:
        return False

    def encoder(self, options: Options) -> Encoder:
        return _SHARED


class _Shared:
    count = 0

    def encode(self, entry: Entry, epoch: str) -> bytes:
        self.count = 1 if entry.seq == 1 else self.count + 1
        return sse.encode(b"%d" % self.count, id=f"{epoch}.{entry.seq}")


_SHARED = _Shared()


class Noisy(Native):
    """Greets with a message."""

    opening = b"data: hello\n\n"


class Beating(Native):
    """Gives signs of life that are messages."""

    heartbeat = b"data: {}\n\n"


class Interrupting(Native):
    """Gives signs of life that change the next message."""

    heartbeat = b"event: beat\n"


class Cutting(Native):
    """Cuts even complete answers."""

    def ends_cleanly(self, ending: str) -> bool:
        return False


class Silent(Text):
    """Ends every body well-formed and says nothing of failure."""

    def ends_cleanly(self, ending: str) -> bool:
        return True


@pytest.mark.parametrize(
    "wire, promise",
    [
        (encoding(counting), "other bytes"),
        (encoding(behind), "no cursor of it"),
        (encoding(open_ended), "a frame without a message"),
        (encoding(unescaped), "its data"),
        (encoding(trusting), "smuggles in"),
        (encoding(speechless), "nothing says so"),
        (encoding(textual), "a frame is bytes"),
        (Remembering, "depends on entries before it"),
        (Sharing, "disturb one another"),
        (Noisy, "the opening is a message"),
        (Beating, "a heartbeat is a message"),
        (Interrupting, "not invisible"),
        (Cutting, "a completed answer ends well-formed"),
        (Silent, "nothing says so"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wire_with_a_mistake_is_found_out(wire: type[Native], promise: str) -> None:
    """I5, I12: each broken promise is named."""
    with pytest.raises(AssertionError, match=promise):
        check_wire(wire(), [])


def test_a_wire_that_raises_is_found_out() -> None:
    """No JSON may do that; its own exception says where."""

    def fragile(entry: Entry, epoch: str) -> bytes:
        return sse.encode(b"%d" % entry.json().get("index", 0), id=f"{epoch}.{entry.seq}")

    with pytest.raises((ValueError, TypeError)):
        check_wire(encoding(fragile)(), [])


def test_a_given_log_is_checked_too() -> None:
    """A mistake that only the implementor's own log brings out is found."""

    def picky(entry: Entry, epoch: str) -> bytes:
        return behind(entry, epoch) if entry.name == "mine" else Native().encoder(Options()).encode(entry, epoch)

    check_wire(encoding(picky)(), [])
    with pytest.raises(AssertionError, match="no cursor of it"):
        check_wire(encoding(picky)(), [[Entry(1, 0.0, "mine", b"{}")]])


def test_the_logs_are_as_they_say() -> None:
    """Samples are whole logs with an ending; hostile ones hold what cannot be decoded."""
    assert {"stream.completed", "stream.failed", "stream.cancelled"} == {log[-1].name for log in sample_logs()}
    assert all([*range(1, len(log) + 1)] == [entry.seq for entry in log] for log in sample_logs())
    undecodable = [entry for log in hostile_logs() for entry in log if _fails(entry)]
    assert len(undecodable) > 100


def _fails(entry: Entry) -> bool:
    try:
        entry.json()
    except ValueError:
        return True
    return False
