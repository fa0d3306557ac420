"""
Follow a stream, from the beginning or from where you were.

Strategy
    Leaving is not stopping (I6): Ctrl-C ends the reading. Frames of every wire are made here from the log's entries,
    so that they are the same with and without a server.
"""

import asyncio
import os
import signal
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import click

from streamkeep.cli import base

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from streamkeep.cursor import Cursor
    from streamkeep.entry import Entry
    from streamkeep.terminal.access import Streams
    from streamkeep.terminal.answer import Answer
    from streamkeep.terminal.screen import Screen

    Show = Callable[[Cursor, Entry], Awaitable[None]]


@click.command()
@click.argument("id")
@click.option("--after", metavar="CURSOR", default="", help="Begin behind this entry: a cursor or a number.")
@click.option("--wire", metavar="WIRE", help="Print the raw frames of a wire: native, anthropic, text …")
@click.option("--json", "--jsonl", "as_json", is_flag=True, help="Print one JSON object per entry.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for what is not there yet.")
@click.option(
    "--thinking",
    type=click.Choice(["show", "hide"]),
    default="show",
    show_default=True,
    help="What to do with the model's thinking, which goes to stderr.",
)
@base.where
def tail(id: str, wire: str | None, as_json: bool, **options: Any) -> None:
    """
    Follow a stream, from the beginning or from where you were.

    Ctrl-C leaves, a second one at once; the stream goes on.

    Exit codes: 0 done, 1 error, 2 usage, 3 the answer broke, 4 it was stopped, 130 Ctrl-C.
    """
    if wire is not None and as_json:
        raise click.UsageError("Give either --wire or --json.")
    base.run(_tail(id, wire, as_json, **options))


async def _tail(
    id: str,
    wire: str | None,
    as_json: bool,
    *,
    after: str,
    follow: bool,
    thinking: str,
    url: str | None,
    api_key: str | None,
) -> int:
    from streamkeep.terminal.access import reach
    from streamkeep.terminal.answer import Answer
    from streamkeep.terminal.screen import Screen

    screen = Screen()
    answer = Answer(screen, thinking=thinking == "show", silent=as_json or wire is not None)
    async with reach(url, api_key, read_only=True, note=screen.note if screen.watched else None) as streams:
        reading = Reading(streams, id, after)
        async with aclosing(reading.entries(follow=follow)) as entries:
            left = await _until_interrupted(_print(entries, answer, screen, wire, after, as_json=as_json))
    if left:
        if screen.interactive:
            screen.end()
        again = base.advice("tail", id, *(["--after", reading.cursor] if reading.cursor else []), url=url)
        screen.note(f"left; the stream goes on. Come back: {again}")
        return base.STOPPED
    screen.end()
    return _conclude(answer, screen)


class Reading:
    """
    One reader of one log.

    Args:
        streams: Where it is.
        id: The stream's.
        cursor: Where to begin.

    Attributes:
        cursor: The last entry it has; text.
    """

    def __init__(self, streams: "Streams", id: str, cursor: str) -> None:
        self.cursor = cursor
        self._streams = streams
        self._id = id

    async def entries(self, *, follow: bool) -> "AsyncGenerator[tuple[Cursor, Entry], None]":
        """Give the entries to the log's end; without `follow` those that are there now."""
        from streamkeep.terminal import words

        last = None if follow else words.head_seq(await self._streams.show(self._id))
        async with aclosing(self._streams.follow(self._id, self.cursor)) as entries:
            while last is None or _seq(self.cursor) < last:
                try:
                    cursor, entry = await anext(entries)
                except StopAsyncIteration:
                    return
                yield cursor, entry
                self.cursor = str(cursor)


def _seq(cursor: str) -> int:
    from streamkeep.cursor import Cursor

    return Cursor.parse(cursor).seq


async def _print(
    entries: "AsyncIterator[tuple[Cursor, Entry]]",
    answer: "Answer",
    screen: "Screen",
    wire: str | None,
    after: str,
    *,
    as_json: bool,
) -> None:
    show = _frames(screen, wire, after) if wire is not None else _lines(screen) if as_json else None
    async for cursor, entry in entries:
        await answer.add(entry)
        if show is not None:
            await show(cursor, entry)


def _lines(screen: "Screen") -> "Show":
    import msgspec

    async def show(cursor: "Cursor", entry: "Entry") -> None:
        at = {} if entry.at != entry.at else {"at": entry.at}
        line = {"seq": entry.seq, **at, "cursor": str(cursor), "name": entry.name, "data": msgspec.Raw(entry.data)}
        await screen.write_raw(msgspec.json.encode(line) + b"\n")

    return show


def _frames(screen: "Screen", wire: str, after: str) -> "Show":
    from streamkeep import registry
    from streamkeep.errors import BadRequest
    from streamkeep.wire.base import Options

    dialect = registry.wire(wire)
    if after and not dialect.stateless(Options()):
        raise BadRequest(f"The frames of wire {wire} hang together; it can be followed from the beginning only.")
    encoder = dialect.encoder(Options())
    opening = dialect.opening

    async def show(cursor: "Cursor", entry: "Entry") -> None:
        nonlocal opening
        await screen.write_raw(opening + encoder.encode(entry, cursor.epoch))
        opening = b""

    return show


async def _until_interrupted(work: "Awaitable[None]") -> bool:
    """Do something until it is done or Ctrl-C is pressed; tell whether it was."""
    task = asyncio.ensure_future(work)
    pressed = False

    def interrupted() -> None:
        nonlocal pressed
        if pressed:
            # A thread may be stuck writing to a pager that reads no further.
            os._exit(base.STOPPED)
        pressed = True
        task.cancel()

    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted)
    with suppress(asyncio.CancelledError):
        await task
    return pressed


def _conclude(answer: "Answer", screen: "Screen") -> int:
    from streamkeep.entry import CANCELLED, FAILED

    ending = answer.ending
    if ending is not None and ending.name == FAILED:
        error = answer.told()["error"]
        screen.note(f"streamkeep: the answer broke off. {error['message']} ({error['code']})")
        return base.INTERRUPTED
    if ending is not None and ending.name == CANCELLED:
        screen.note("the answer was stopped; what there is of it is kept")
        return base.CANCELLED
    return base.DONE


COMMAND = tail
