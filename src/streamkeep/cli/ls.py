"""
List the streams, newest first.
"""

import json
import time
from typing import Any

import click

from streamkeep.cli import base
from streamkeep.errors import StoreUnavailable

COLUMNS = ("ID", "STATE", "AGE", "MODEL", "EVENTS", "TTFT", "TOK/S", "END")
"""Heads of the table."""

NUMBERS = ("AGE", "EVENTS", "TTFT", "TOK/S")
"""Columns that are aligned to the right."""

EXPENDABLE = ("MODEL", "TOK/S", "TTFT", "EVENTS", "END")
"""What a narrow terminal goes without, first to last; a pipe gets all."""

GAP = "  "
"""Between two columns."""


@click.command()
@click.option("--state", type=click.Choice(base.STATES), multiple=True, help="Only these; repeatable.  [default: all]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per stream.")
@base.where
def ls(state: tuple[str, ...], limit: int, as_json: bool, url: str | None, api_key: str | None) -> None:
    """
    List the streams, newest first.

    A narrow terminal gets fewer columns; a pipe gets all of them.
    """
    base.run(_ls(state, limit, as_json, url, api_key))


async def _ls(states: tuple[str, ...], limit: int, as_json: bool, url: str | None, api_key: str | None) -> int:
    from streamkeep.terminal.access import reach
    from streamkeep.terminal.screen import Screen

    screen = Screen()
    try:
        async with reach(url, api_key, read_only=True) as streams:
            found = await streams.list(states, limit)
    except StoreUnavailable as error:
        if error.code != "store_missing":
            raise
        found = []
    if as_json:
        screen.write_bytes("".join(f"{json.dumps(shown, ensure_ascii=False)}\n" for shown in found).encode())
    elif found:
        _print_table([row(shown, time.time()) for shown in found], screen.interactive)
    else:
        screen.note(f"No streams{' in that state' if states else ' yet'}. Start one: {base.advice('ask', 'Hello')}")
    return base.DONE


def row(shown: dict[str, Any], now: float) -> tuple[str, ...]:
    """
    Give a stream's row of the table.

    Args:
        shown: The stream as JSON.
        now: Seconds since the Unix epoch.
    """
    from streamkeep.terminal import words

    timing = shown.get("timing") or {}
    ttft_ms, rate = timing.get("ttft_ms"), timing.get("output_tokens_per_s")
    return (
        shown["id"],
        shown["state"],
        words.age(words.since(shown["created_at"], now)),
        words.printable(shown["model"]),
        str(words.head_seq(shown)),
        words.NOTHING if ttft_ms is None else f"{ttft_ms:.0f} ms",
        words.NOTHING if rate is None else f"{rate:.1f}",
        words.ending(shown),
    )


def fitting(rows: list[tuple[str, ...]], width: int) -> list[str]:
    """
    Choose the columns that fit on a line without cutting any cell; those of least use go first.

    Args:
        rows: Of `row`.
        width: The line's, in characters.
    """
    widths = {column[0]: max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)}
    kept = list(COLUMNS)
    for name in EXPENDABLE:
        if sum(widths[each] for each in kept) + len(GAP) * (len(kept) - 1) > width:
            kept.remove(name)
    return kept


def _print_table(rows: list[tuple[str, ...]], interactive: bool) -> None:
    if not interactive:
        widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
        for cells in (COLUMNS, *rows):
            click.echo(GAP.join(map(_aligned, COLUMNS, cells, widths)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    names = fitting(rows, console.width)
    table = Table(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for cells in rows:
        by_name = dict(zip(COLUMNS, cells, strict=True))
        table.add_row(*[Text(by_name[name]) for name in names])
    console.print(table)


def _aligned(name: str, cell: str, width: int) -> str:
    return cell.rjust(width) if name in NUMBERS else cell.ljust(width)


COMMAND = ls
