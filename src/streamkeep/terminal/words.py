"""
Say figures and times as people do.

Pure: no I/O, no clock.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_STEPS = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (86_400.0, 3600.0, "h"), (float("inf"), 86_400.0, "d"))
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

NOTHING = "-"
"""Stands where there is no figure."""


def printable(text: str) -> str:
    """
    Take out what would steer a terminal: control characters other than line feed and tab.

    What a model says must not move the cursor, change the title or hide what is above.
    """
    return _CONTROLS.sub("", text)


def age(seconds: float) -> str:
    """Give a span of time in its greatest unit: `8 s`, `2 min`, `3 h`, `5 d`."""
    seconds = max(seconds, 0.0)
    _, unit_s, unit = next(step for step in _STEPS if seconds < step[0])
    return f"{int(seconds // unit_s)} {unit}"


def since(rfc3339: str, now: float) -> float:
    """Give the seconds from a time in RFC 3339 to `now`, in seconds since the Unix epoch."""
    return now - datetime.fromisoformat(rfc3339).timestamp()


def head_seq(shown: Mapping[str, Any]) -> int:
    """Give the number of a stream's last entry, from the stream as JSON."""
    return int(shown["cursor"].rpartition(".")[2])


def tokens(shown: Mapping[str, Any]) -> str:
    """Say how many output tokens a stream has; about, where its provider did not say."""
    count = (shown.get("usage") or {}).get("output_tokens")
    if count is None:
        return "0 tok"
    return f"{'' if shown.get('state') == 'completed' else '~'}{count} tok"


def figures(shown: Mapping[str, Any]) -> str:
    """Say a stream's id, time to the first token, rate and size in one line, as far as they are known."""
    timing = shown.get("timing") or {}
    ttft_ms, rate = timing.get("ttft_ms"), timing.get("output_tokens_per_s")
    parts = [
        shown["id"],
        "" if ttft_ms is None else f"ttft {ttft_ms / 1000:.2f} s",
        "" if rate is None else f"{rate:.0f} tok/s",
        tokens(shown),
    ]
    return f"[{'  '.join(part for part in parts if part)}]"


def receipt(shown: Mapping[str, Any]) -> str:
    """Say what became of a stop (I14), from its receipt as JSON."""
    state = shown["state"]
    if state == "cancelling":
        return f"The stop of {shown['id']} is logged; its writer has not sealed the stream yet."
    if state != "cancelled":
        return f"{shown['id']} had ended before: {state} at {shown['ended_at']}."
    closed_ms = shown.get("upstream_closed_ms")
    closed = "" if closed_ms is None else f"upstream closed after {closed_ms:.0f} ms, "
    return f"Stopped at entry {head_seq(shown)}: {closed}sealed {shown['sealed_at']}."


def ending(shown: Mapping[str, Any]) -> str:
    """Say in a word how a stream ended: its stop reason, or its error's code."""
    error = shown.get("error") or {}
    return str(error.get("code") or shown.get("stop_reason") or NOTHING)
