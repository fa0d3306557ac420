"""
Clear an upstream's own words for showing: they help, unless they repeat the prompt or the key.

Pure: no I/O, no clock.

Strategy
    Words are compared by their letters and digits alone, in one case: an echo that is quoted, escaped or wrapped
    otherwise is an echo all the same. What is looked for is looked for before anything is cut off.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from streamkeep.errors import UpstreamError

MAX_DETAIL_CHARACTERS = 300
"""Characters of an upstream's words that are shown; the vendors' messages are below 200."""

MAX_LOOKED_AT_CHARACTERS = 16_384
"""Characters of an upstream's words that are looked through; of longer ones nothing behind that is shown anyway."""

WINDOW = 16
"""Letters and digits in a row that a text may share with the request before it counts as repeating it."""

MIN_TEXT = 4
"""Letters and digits from which a whole text of the request counts; shorter ones stand in every sentence."""

SECRET_WINDOW = 8
"""Characters in a row that a text may share with a secret; vendors name a key by its last four."""

MAX_REQUEST_CHARACTERS = 500_000
"""Characters of the request that are compared, some 50 ms; with more, nothing of the upstream's words is shown."""

_KEY_LIKE = re.compile(r"\b(?:sk|pk|key|bearer)[-_ ][A-Za-z0-9_\-*.]{6,}|[A-Za-z0-9_\-]{32,}", re.IGNORECASE | re.ASCII)
_PLAIN = re.compile(
    r"true|false|\d[\d:.+\-TZhms]{0,39}|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", re.ASCII
)


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
    said = " ".join(error.detail[:MAX_LOOKED_AT_CHARACTERS].split())
    detail = said[:MAX_DETAIL_CHARACTERS]
    if not detail or _KEY_LIKE.search(said) or _holds_secret(said, secrets) or _repeats(detail, request):
        return error.message
    return f"{error.message} It said: {detail}"


def plain(value: str) -> bool:
    """Tell whether a header's value is a number, a duration, a time, or a yes or no: those can repeat nothing."""
    return _PLAIN.fullmatch(value) is not None


def _holds_secret(text: str, secrets: Iterable[str]) -> bool:
    """Look for any part of a secret; a scheme before it, as in `Bearer …`, is none."""
    for secret in secrets:
        bare = secret.split()[-1] if secret.split() else ""
        if bare and any(window in text for window in _windows(bare, SECRET_WINDOW)):
            return True
    return False


def _repeats(detail: str, request: Any) -> bool:
    said = _bare(_ESCAPE.sub(" ", detail))
    windows = _windows(said, WINDOW)
    budget = MAX_REQUEST_CHARACTERS
    for written in _texts(request):
        budget -= len(written)
        if budget < 0:
            return True
        text = _bare(written)
        if len(text) >= MIN_TEXT and (text in said or any(window in text for window in windows)):
            return True
    return False


def _windows(text: str, size: int) -> set[str]:
    return {text[i : i + size] for i in range(max(1, len(text) - size + 1))}


def _bare(text: str) -> str:
    return _NO_WORD.sub("", text.casefold())


def _texts(value: Any) -> Iterator[str]:
    """Give what people wrote: every text of the request but the model's name, not names of members."""
    stack = [item for name, item in value.items() if name != "model"] if isinstance(value, dict) else [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if item not in _VOCABULARY:
                yield item
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)


_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_NO_WORD = re.compile(r"[\W_]+")

_WORDS = """
user assistant system text image document tool tool_use tool_result thinking custom function ephemeral base64 url
enabled disabled adaptive auto any none low medium high max standard_only
object array string number integer boolean null
"""
_VOCABULARY = frozenset(_WORDS.split())  # the API's own words and JSON Schema's: an error may name them
