"""
Show a stream: its state, its figures and its message.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from streamkeep.cli import base

if TYPE_CHECKING:
    from streamkeep.cursor import Cursor
    from streamkeep.entry import Entry
    from streamkeep.terminal.screen import Screen

MAX_DATA = 100
"""Characters of an entry's data that `--events` prints; `tail --json` prints all."""


@click.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print the stream as JSON.")
@click.option("--events", is_flag=True, help="List the log's entries instead of the message.")
@click.option("--thinking", is_flag=True, help="Print the model's thinking too, to stderr.")
@base.where
def show(id: str, as_json: bool, events: bool, thinking: bool, url: str | None, api_key: str | None) -> None:
    """
    Show a stream: its state, its figures and its message.

    The message goes to stdout, all else to stderr.
    """
    base.run(_show(id, as_json, events, thinking, url, api_key))


async def _show(id: str, as_json: bool, events: bool, thinking: bool, url: str | None, api_key: str | None) -> int:
    from streamkeep.terminal.access import reach
    from streamkeep.terminal.screen import Screen

    screen = Screen()
    async with reach(url, api_key, read_only=True) as streams:
        shown = await streams.show(id)
        log = [each async for each in _until(streams.follow(id), shown)] if events else []
    if as_json:
        screen.write_bytes(json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        return base.DONE
    for line in facts(shown):
        screen.note(line)
    if events:
        for cursor, entry in log:
            screen.write_bytes(f"{_line(cursor, entry, log[0][1].at)}\n".encode())
        return base.DONE
    screen.note("")
    for block in (shown["message"] or {}).get("content", []):
        await _print_block(block, screen, thinking=thinking)
    screen.end()
    return base.DONE


async def _until(entries: Any, shown: dict[str, Any]) -> Any:
    """Give the entries up to where the stream stood."""
    from streamkeep.terminal import words

    try:
        async for cursor, entry in entries:
            yield cursor, entry
            if entry.seq >= words.head_seq(shown):
                break
    finally:
        await entries.aclose()


def facts(shown: dict[str, Any]) -> list[str]:
    """Say in lines what is known of a stream, given as JSON."""
    from streamkeep.terminal import words

    usage = shown.get("usage") or {}
    counts = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in usage.items() if isinstance(value, int))
    error = shown.get("error") or {}
    attempts = shown.get("attempts") or 0
    lines = [
        words.figures(shown),
        f"state    {shown['state']} ({words.ending(shown)})",
        f"model    {shown['model']} of {shown['provider']}{f', {attempts} attempts' if attempts > 1 else ''}",
        f"started  {shown['created_at']}, ended {shown['ended_at'] or words.NOTHING}",
        f"cursor   {shown['cursor']}",
    ]
    if counts:
        lines.append(f"usage    {counts}")
    if error:
        lines.append(f"error    {error['message']} ({error['code']})")
    return lines


def _line(cursor: "Cursor", entry: "Entry", first_at: float) -> str:
    from streamkeep.terminal import words

    data = words.printable(entry.data.decode("utf-8", "replace"))
    data = data if len(data) <= MAX_DATA else f"{data[: MAX_DATA - 1]}…"
    at = "" if entry.at != entry.at else f"{entry.at - first_at:+9.3f} s  "
    return f"{cursor!s:>12}  {at}{entry.name:<20}  {data}"


async def _print_block(block: dict[str, Any], screen: "Screen", *, thinking: bool) -> None:
    if block["type"] == "text":
        await screen.write(block["text"])
    elif block["type"] == "thinking" and thinking:
        screen.note(block["thinking"])
    elif block["type"] == "thinking":
        screen.note(f"[thinking: {len(block['thinking'])} characters; --thinking shows them]")
    elif "input" in block:
        screen.end()
        await screen.write(f"{block['name']} {json.dumps(block['input'], ensure_ascii=False)}\n")
    else:
        screen.note(f"[{block['type']}]")
    sys.stdout.flush()


COMMAND = show
