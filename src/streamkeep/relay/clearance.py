"""
Clear an upstream's own words for showing: they help, unless they repeat the prompt or the key.

Pure: no I/O, no clock.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from streamkeep.errors import UpstreamError

MAX_DETAIL_CHARACTERS = 300
"""Characters of an upstream's words that are shown; the vendors' messages are below 200."""

WINDOW = 16
"""Characters in a row that a text may share with the request before it counts as repeating it."""

MAX_REQUEST_CHARACTERS = 2_000_000
"""Characters of the request that are compared; with more than that nothing of the upstream's words is shown."""

_KEY_LIKE = re.compile(r"\b(?:sk|pk|key|bearer)[-_ ][A-Za-z0-9_\-*.]{6,}|[A-Za-z0-9_\-]{32,}", re.IGNORECASE | re.ASCII)


def shown(error: UpstreamError, request: Any, secrets: Iterable[str]) -> str:
    """
    Give the text of an upstream's error for people.

    Args:
        error: What happened.
        request: What was asked, as JSON-like data.
        secrets: Texts that must not appear.

    Returns:
        Our words, and the upstream's behind them if they are clean.
    """
    detail = " ".join(error.detail.split())[:MAX_DETAIL_CHARACTERS]
    if not detail or _KEY_LIKE.search(detail) or any(secret in detail for secret in secrets if secret):
        return error.message
    return error.message if _repeats(detail, request) else f"{error.message} It said: {detail}"


def _repeats(detail: str, request: Any) -> bool:
    windows = {detail[i : i + WINDOW] for i in range(max(1, len(detail) - WINDOW + 1))}
    budget = MAX_REQUEST_CHARACTERS
    for text in _texts(request):
        budget -= len(text)
        if budget < 0:
            return True
        if len(text) >= 4 and (text in detail or any(window in text for window in windows)):
            return True
    return False


def _texts(value: Any) -> Iterator[str]:
    """Give what people wrote: every text below `messages`, `system`, `tools` and the like, not names of members."""
    stack = [value.get(member) for member in ("messages", "system", "tools")] if isinstance(value, dict) else [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if item not in _VOCABULARY:
                yield item
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


_VOCABULARY = frozenset(
    {"user", "assistant", "system", "text", "image", "document", "tool_use", "tool_result", "object"}
)
