"""
Ask a model, and keep the answer.

Strategy
    The stream's id is made here, before the start is sent: so a Ctrl-C can stop it at any moment, even one that
    overtakes the start (I14). After the first Ctrl-C the log is followed to its seal, which tells what was kept.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import click

from streamkeep.cli import base
from streamkeep.errors import StreamkeepError

if TYPE_CHECKING:
    from streamkeep.terminal.access import Streams
    from streamkeep.terminal.answer import Answer
    from streamkeep.terminal.screen import Screen

MAX_STDIN_BYTES = 32 * 1024 * 1024
"""Most that is read from stdin, in bytes: what a server takes as a request's body."""


@click.command()
@click.argument("prompt", default="")
@click.option("-m", "--model", metavar="MODEL", help="Which model.  [default: the provider's own choice]")
@click.option("-s", "--system", metavar="TEXT", help="System prompt.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Longest answer, in tokens.  [default: 4096]")
@click.option(
    "--thinking",
    type=click.Choice(["show", "hide"]),
    default="show",
    show_default=True,
    help="What to do with the model's thinking, which goes to stderr.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the ended stream as JSON instead of its text.")
@click.option("--id", metavar="ID", help="The stream's id; the same id and prompt find the same answer again.")
@click.option("-v", "--verbose", is_flag=True, help="Say id, speed and size at the end even where nobody looks.")
@base.where
def ask(prompt: str, thinking: str, as_json: bool, verbose: bool, **options: Any) -> None:
    """
    Ask a model, and keep the answer.

    The prompt is PROMPT, followed by what is piped in. The answer goes to stdout, all else to stderr. Ctrl-C stops
    the answer and keeps what there is; a second one leaves at once.

    Exit codes: 0 done, 1 error, 2 usage, 3 the answer broke, 4 somebody else stopped it, 130 Ctrl-C.
    """
    request = {
        "id": options["id"] or f"st_{secrets.token_hex(16)}",
        "prompt": joined(prompt, piped()),
        "model": options["model"],
        "system": options["system"],
        "max_tokens": options["max_tokens"],
    }
    request = {name: value for name, value in request.items() if value is not None}
    base.run(
        _ask(
            request,
            url=options["url"],
            api_key=options["api_key"],
            thinking=thinking == "show",
            as_json=as_json,
            verbose=verbose,
        )
    )


def piped() -> str:
    """
    Give what is piped in; empty at a terminal.

    Raises:
        click.UsageError: It is no text, or too much.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise click.UsageError(f"What is piped in passes {MAX_STDIN_BYTES} bytes.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise click.UsageError("What is piped in is no UTF-8 text.") from None


def joined(prompt: str, piped: str) -> str:
    """
    Join the argument and what is piped in.

    Raises:
        click.UsageError: There is neither.
    """
    parts = [part for part in (prompt, piped) if part.strip()]
    if not parts:
        raise click.UsageError("There is no prompt. Give one as the argument, or pipe one in.")
    return "\n\n".join(parts)


async def _ask(
    request: dict[str, Any], *, url: str | None, api_key: str | None, thinking: bool, as_json: bool, verbose: bool
) -> int:
    from streamkeep.terminal import words
    from streamkeep.terminal.access import reach
    from streamkeep.terminal.answer import Answer
    from streamkeep.terminal.screen import Screen

    screen = Screen()
    answer = Answer(screen, thinking=thinking, silent=as_json)
    note = screen.note if screen.watched else None
    async with reach(url, api_key, read_only=False, note=note) as streams:
        asking = Asking(streams, request["id"], screen, answer, url)
        await asking.run(request)
        screen.end()
        if as_json:
            shown = await streams.show(request["id"])
            screen.write_bytes(json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    told = {"id": request["id"], **answer.told()}
    if screen.watched or verbose:
        screen.note(words.figures(told))
    return asking.conclude(told)


class Asking:
    """
    One question from its start to its end or to Ctrl-C.

    Args:
        streams: Where to ask.
        id: The stream's.
        screen: Where to say what happens.
        answer: Shows the answer.
        url: The server as it was named, for advice.
    """

    def __init__(self, streams: "Streams", id: str, screen: "Screen", answer: "Answer", url: str | None) -> None:
        self._streams = streams
        self._id = id
        self._screen = screen
        self._answer = answer
        self._url = url
        self._cursor = ""
        self._stop: asyncio.Task[None] | None = None
        self._work: asyncio.Task[None] | None = None

    async def run(self, request: dict[str, Any]) -> None:
        """
        Start, show, and heed Ctrl-C.

        Raises:
            BrokenPipeError: Nobody reads any more. A server's stream goes on; one of this process is stopped.
            StreamkeepError: It could not be started, or not be followed to its end.
        """
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupted)
        self._work = asyncio.create_task(self._start_and_show(request))
        try:
            await self._work
        except asyncio.CancelledError:
            # Given up by `_cancel`, whose error says why.
            if self._stop is None:
                raise
        except BrokenPipeError:
            if not self._streams.remote:
                await self._streams.cancel(self._id)
            raise
        if self._stop is not None:
            await self._stop

    async def _start_and_show(self, request: dict[str, Any]) -> None:
        await self._streams.start(request)
        async with aclosing(self._streams.follow(self._id)) as entries:
            async for cursor, entry in entries:
                self._cursor = str(cursor)
                await self._answer.add(entry)

    def _interrupted(self) -> None:
        if self._stop is None:
            self._screen.note("stopping; Ctrl-C again to leave at once")
            self._stop = asyncio.create_task(self._cancel())
        else:
            self._leave()

    async def _cancel(self) -> None:
        try:
            await self._streams.cancel(self._id)
        except StreamkeepError as error:
            assert self._work is not None
            self._work.cancel()
            error.message += f" The answer may go on; stop it: {base.advice('cancel', self._id, url=self._url)}"
            raise

    def _leave(self) -> None:
        """Leave at once, whatever still runs."""
        after = ["--after", self._cursor] if self._cursor else []
        words = ["tail", self._id, *after] if self._streams.remote else ["show", self._id]
        self._screen.note(f"left. Come back: {base.advice(*words, url=self._url)}")
        os._exit(base.STOPPED)

    def conclude(self, told: dict[str, Any]) -> int:
        """
        Say how it ended, if not well, and give the exit code.

        Args:
            told: What the log's ending tells.
        """
        from streamkeep.terminal import words

        again = f"Read it again: {base.advice('show', self._id, url=self._url)}"
        if self._stop is not None:
            stopped = f"stopped at {words.tokens(told)}, kept"
            done = "was complete before it could be stopped"
            self._screen.note(f"{stopped if told['state'] == 'cancelled' else done}. {again}")
            return base.STOPPED
        if told["state"] == "cancelled":
            self._screen.note(f"somebody else stopped the answer at {words.tokens(told)}; it is kept. {again}")
            return base.CANCELLED
        if told["state"] == "failed":
            return _failed(self._screen, told["error"], again, broke=self._answer.shown)
        return base.DONE


def _failed(screen: "Screen", error: dict[str, Any], again: str, *, broke: bool) -> int:
    screen.note(f"streamkeep: {error['message']} ({error['code']})")
    if not broke:
        return base.ERROR
    screen.note(f"The answer broke off; what there is of it is kept. {again}")
    return base.INTERRUPTED


COMMAND = ask
