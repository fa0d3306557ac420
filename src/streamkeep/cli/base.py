"""What the commands share: exit codes, the options that say where the streams are, and how a command runs."""

import os
import shutil
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

DONE = 0
"""The answer is complete, or the command did what it was asked."""
ERROR = 1
"""It failed; the text says why."""
USAGE = 2
"""The command line cannot be meant like this."""
INTERRUPTED = 3
"""The answer broke; what there was of it was printed."""
CANCELLED = 4
"""Somebody else stopped the answer."""
STOPPED = 130
"""Ctrl-C."""

STATES = ("open", "cancelling", "completed", "failed", "cancelled")
"""States of a stream, as `--state` takes them."""


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options `url` and `api_key`."""
    url = click.option(
        "--url",
        envvar="STREAMKEEP_URL",
        metavar="URL",
        help="The server.  [env: STREAMKEEP_URL; default: http://127.0.0.1:8000 (or STREAMKEEP_PORT) if one answers "
        "there, else the store on this machine]",
    )
    key = click.option(
        "--api-key", envvar="STREAMKEEP_API_KEY", metavar="KEY", help="Sent to the server.  [env: STREAMKEEP_API_KEY]"
    )
    return url(key(command))


def run(command: Coroutine[Any, Any, int]) -> None:
    """
    Run a command to its exit code, and leave with it.

    A reader that has enough (`| head`) is no error.
    """
    import asyncio

    try:
        code = asyncio.run(command)
    except BrokenPipeError:
        code = DONE
        # The interpreter flushes stdout once more when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def program() -> str:
    """Give the words with which this program was started, for copying."""
    path = Path(sys.argv[0])
    if path.name == "streamkeep" and shutil.which("streamkeep") != str(path):
        return os.path.relpath(path)
    return "streamkeep" if path.name == "streamkeep" else f"{Path(sys.executable).name} -m streamkeep"


def advice(*words: str, url: str | None = None) -> str:
    """Give a command to copy, for the same server."""
    return " ".join([program(), *words, *(["--url", url] if url else [])])
