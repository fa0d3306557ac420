"""
Read from a prompt what the answer is to be like.

The prompt is searched for plain words (`table`, `think`, `count to 30`, `refuse with 529 twice`); what follows `echo:`
is not searched, it is repeated.

Pure: no I/O, no clock.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from streamkeep.simulator.corpus import SCRIPTS

MAX_COUNT: Final = 10_000
"""Where counting stops; some 20,000 tokens."""

KINDS: Final = ("table", "code", "list", "poem", "emoji", "math", "json", *SCRIPTS)
"""The contents that can be asked for by name."""

CATEGORIES: Final = ("cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms")
"""Why a model declines, in the API's words."""


@dataclass(frozen=True, slots=True)
class Steering:
    """
    What a prompt asks for.

    Attributes:
        think: a thinking block comes first.
        tool: a tool is called.
        cite: the text carries citations.
        decline: the model stops with `refusal`; the category, or "" for none.
        long: at least 1,500 tokens.
        count: count from 1 to this.
        kinds: contents by name, in the order they were named.
        echo: the answer's text, word for word.
        options: the simulator's options in the text: `refuse`, `refuse_times`.
    """

    think: bool = False
    tool: bool = False
    cite: bool = False
    decline: str | None = None
    long: bool = False
    count: int | None = None
    kinds: tuple[str, ...] = ()
    echo: str | None = None
    options: dict[str, str] = field(default_factory=dict)


_ECHO: Final = re.compile(r"\becho:[ \t]?", re.IGNORECASE)
_THINK: Final = re.compile(r"\bthink\b", re.IGNORECASE)
_TOOL: Final = re.compile(r"\buse (?:a|the|some|two|my) tools?\b", re.IGNORECASE)
_CITE: Final = re.compile(r"\b(?:cite|citations?)\b", re.IGNORECASE)
_LONG: Final = re.compile(r"\blong\b", re.IGNORECASE)
_COUNT: Final = re.compile(r"\bcount to (\d[\d,]{0,11})", re.IGNORECASE | re.ASCII)
_KIND: Final = re.compile(rf"\b({'|'.join(KINDS)})s?\b", re.IGNORECASE)
_DECLINE: Final = re.compile(rf"\brefuse\b(?! with)(?: ({'|'.join(CATEGORIES)})\b)?", re.IGNORECASE)
_FAIL: Final = re.compile(
    r"\brefuse with ([a-z0-9-]+(?::\d+)?)(?: (once|twice|\d{1,4} times))?", re.IGNORECASE | re.ASCII
)


def steer(prompt: str) -> Steering:
    """
    Return what the prompt asks for; an ordinary question gives a `Steering` with nothing set.
    """
    echo = _ECHO.search(prompt)
    asked = prompt[: echo.start()] if echo else prompt
    decline, count = _DECLINE.search(asked), _COUNT.search(asked)
    return Steering(
        think=bool(_THINK.search(asked)),
        tool=bool(_TOOL.search(asked)),
        cite=bool(_CITE.search(asked)),
        decline=(decline[1] or "").lower() if decline else None,
        long=bool(_LONG.search(asked)),
        count=int(count[1].replace(",", "")) if count else None,
        kinds=tuple(dict.fromkeys(kind.lower() for kind in _KIND.findall(asked))),
        echo=prompt[echo.end() :] if echo else None,
        options=_failure(asked),
    )


def _failure(asked: str) -> dict[str, str]:
    found = _FAIL.search(asked)
    if not found:
        return {}
    options = {"refuse": found[1].lower()}
    if found[2]:
        times = found[2].lower()
        options["refuse_times"] = {"once": "1", "twice": "2"}.get(times, times.removesuffix(" times"))
    return options
