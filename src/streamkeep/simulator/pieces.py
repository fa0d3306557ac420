"""
Cut a text into pieces the size of a language model's tokens.

A piece is part of a word with the space before it, a few digits, some punctuation, or one or two wide characters. No
piece ends inside a grapheme cluster, so that whoever shows the pieces one by one never shows half a character.

Strategy: clusters first (an approximation of UAX 29 that errs on the side of keeping characters together), then runs of
clusters of one class, each run cut at a length drawn from the caller's random source.

Pure: no I/O, no clock; the randomness comes in as an argument.
"""

import unicodedata
from collections.abc import Iterator
from random import Random
from typing import Final

_ZWJ: Final = "\u200d"
_JOINERS: Final = frozenset({_ZWJ, "\u200c", "\u0e33", "\u0eb3"})
_MARKS: Final = frozenset({"Mn", "Mc", "Me"})
_SPACED_SCRIPTS: Final = (range(0x0E00), range(0x10A0, 0x1100), range(0x1E00, 0x2000))
"""Code points whose letters come in words with spaces between them: up to Lao, Georgian, extended Latin and Greek."""

_LONGEST: Final = {"letter": 8, "digit": 3, "punctuation": 3, "wide": 2, "space": 16, "newline": 4}
"""Clusters a piece holds at most, by class."""


def clusters(text: str) -> Iterator[str]:
    """
    Yield the grapheme clusters of a text, in order; joined they are the text.
    """
    if text.isascii() and "\r" not in text:
        yield from text
        return
    start, flags = 0, 0
    for at in range(1, len(text)):
        before, here = text[at - 1], text[at]
        flags = flags + 1 if _is_flag(before) else 0
        if not _joined(before, here, flags):
            yield text[start:at]
            start = at
    if text:
        yield text[start:]


def pieces(text: str, random: Random) -> Iterator[str]:
    """
    Yield token-sized pieces of a text; joined they are the text, and none cuts a grapheme cluster.

    Args:
        text: what is to be cut; empty gives no piece.
        random: where the lengths come from; the same state gives the same pieces.
    """
    held: list[str] = []
    kind, room = "", 0
    for cluster in clusters(text):
        found = _class(cluster)
        leads = held == [" "] and found in ("letter", "digit", "punctuation", "wide")
        if held and not leads and (found != kind or room == 0):
            yield "".join(held)
            held = []
        if not held or leads:
            kind, room = found, _length(found, random)
        held.append(cluster)
        room -= 1
    if held:
        yield "".join(held)


def _length(kind: str, random: Random) -> int:
    longest = _LONGEST[kind]
    return random.randint(4, longest) if kind == "letter" else longest


def _class(cluster: str) -> str:
    first = cluster[0]
    if first in "\r\n":
        return "newline"
    if first.isspace():
        return "space"
    if first.isdigit():
        return "digit"
    spaced = any(ord(first) in script for script in _SPACED_SCRIPTS)
    if first.isalpha():
        return "letter" if spaced else "wide"
    return "punctuation" if spaced else "wide"


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _joined(before: str, here: str, flags_before: int) -> bool:
    """
    Tell whether two neighbouring characters belong to one cluster.
    """
    if before == "\r":
        return here == "\n"
    if here in _JOINERS or before == _ZWJ:
        return True
    if unicodedata.category(here) in _MARKS or "\U0001f3fb" <= here <= "\U0001f3ff":
        return before not in "\n"
    if "\U000e0020" <= here <= "\U000e007f":
        return True
    if _is_flag(here) and flags_before % 2 == 1:
        return True
    conjunct = unicodedata.combining(before) == 9 and here.isalpha()
    jamo = "\u1100" <= before <= "\u11ff" and "\u1160" <= here <= "\u11ff"
    return conjunct or jamo or "\u0600" <= before <= "\u0605"
