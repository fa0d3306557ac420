"""The two outputs of a command."""

import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streamkeep.terminal.screen import ATOMIC_BYTES, Screen, coloured

pytestmark = pytest.mark.anyio


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "file, environment, colours",
    [
        (Tty(), {}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"NO_COLOR": ""}, True),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_the_user_says_otherwise(
    file: io.StringIO, environment: dict[str, str], colours: bool
) -> None:
    """no-color.org: any value that is not empty; it wins over the wish for colour."""
    assert colours == coloured(file, environment)


@dataclass
class Watched:
    """A screen whose answer goes into a pipe."""

    screen: Screen
    pipe: int
    informs: io.StringIO

    def read(self) -> str:
        """Give what is in the pipe now."""
        return os.read(self.pipe, 100).decode()


@pytest.fixture
def watched() -> Iterator[Watched]:
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as answers:
        informs = io.StringIO()
        yield Watched(Screen(answers, informs), reader, informs)


async def test_the_answer_leaves_at_once(watched: Watched) -> None:
    """Each piece is there to be read before the next is written, whatever is in it."""
    screen = watched.screen
    for piece in ("a", "ü", "\x1b[1m", "\n"):
        await screen.write(piece)
        assert piece == watched.read()
    await screen.write("")


async def test_an_unfinished_line_is_finished_once(watched: Watched) -> None:
    """The answer's last line gets its line feed, and a finished one none."""
    screen = watched.screen
    await screen.write("a")
    screen.end()
    screen.end()
    await screen.write("b\n")
    screen.end()

    assert "a\nb\n" == watched.read()


async def test_asides_stand_on_lines_of_their_own(watched: Watched) -> None:
    """Thinking comes in pieces; what follows it, an answer or a note, begins a new line."""
    screen = watched.screen
    screen.aside("I th")
    screen.aside("ink")
    screen.note("[a tool]")
    screen.aside("more")
    await screen.write("answer")
    screen.end()

    assert "I think\n[a tool]\nmore\n" == watched.informs.getvalue()
    assert "answer\n" == watched.read()


async def test_a_reader_that_pauses_holds_nobody_up(watched: Watched) -> None:
    """The event loop runs on while the pipe is full, and nothing is lost."""
    screen = watched.screen
    size = 64 * ATOMIC_BYTES
    read = bytearray()

    def drain() -> None:
        while len(read) < size:
            read.extend(os.read(watched.pipe, 65536))

    reader = threading.Timer(0.05, drain)
    reader.start()
    await screen.write("x" * size)
    reader.join()

    assert size == len(read)
