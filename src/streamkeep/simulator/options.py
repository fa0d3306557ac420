"""
Read what a request asks of the simulator itself: its pace, its seed, and how it is to fail.

The same names stand in a header (`x-simulator-ttft-s`), in `metadata.simulator`, and behind the model's name
(`simulated-1?ttft_s=0`); the first of these that has a name wins, and the text of the prompt comes last.

Pure: no I/O, no clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Final
from urllib.parse import parse_qsl

from streamkeep.simulator.refusals import Fault, Refusal, invalid, refusal_or_fault, with_retry_after

HEADER_PREFIX: Final = "x-simulator-"

MAX_TTFT_S: Final = 600.0
"""Seconds before the first token; clients give up after ten minutes."""

MAX_TOKENS_PER_S: Final = 1_000_000.0
"""Tokens a second; more is what 0 is for."""

MAX_SEED: Final = 2**63 - 1
"""The largest seed: what fits a signed 64-bit column."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""Seconds that a refusal may ask for."""

MAX_REFUSE_TIMES: Final = 1000
"""Requests refused before one is served; more than any client retries."""


@dataclass(frozen=True, slots=True)
class Options:
    """
    What one request gets.

    Attributes:
        ttft_s: seconds to the first token.
        tokens_per_s: pace after it; 0 is as fast as the socket takes it.
        seed: decides the answer, with the request.
        refusal: what it is refused with, if at all.
        fault: how its stream goes wrong, if at all.
        refuse_times: how many of the requests with this body fail; None for all.
    """

    ttft_s: float
    tokens_per_s: float
    seed: int
    refusal: Refusal | None = None
    fault: Fault | None = None
    refuse_times: int | None = None


def _number(most: float) -> Callable[[str, str], float]:
    def read(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not isfinite(value) or not 0 <= value <= most:
            raise invalid(f"{name}: {text[:40]!r} is not a number from 0 to {most:g}")
        return value

    return read


def _integer(most: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) > most:
            raise invalid(f"{name}: {text[:40]!r} is not a whole number from 0 to {most}")
        return int(text)

    return read


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "ttft_s": _number(MAX_TTFT_S),
    "tokens_per_s": _number(MAX_TOKENS_PER_S),
    "seed": _integer(MAX_SEED),
    "refuse": lambda _, text: refusal_or_fault(text),
    "retry_after": _number(MAX_RETRY_AFTER_S),
    "refuse_times": _integer(MAX_REFUSE_TIMES),
}


def in_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return the options among the headers, under their names in the body.
    """
    return {
        name.lower().removeprefix(HEADER_PREFIX).replace("-", "_"): value
        for name, value in headers.items()
        if name.lower().startswith(HEADER_PREFIX)
    }


def in_model(model: str) -> tuple[str, dict[str, str]]:
    """
    Split a model's name from the options behind it.

    Raises:
        Refused: 400, if what follows the `?` is not a query.
    """
    name, asked, query = model.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(asked), max_num_fields=16)
    except ValueError:
        raise invalid("model: what follows the '?' is not of the form name=value&name=value") from None
    return name, dict(pairs)


def in_metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the options in the request's `metadata.simulator`.

    Raises:
        Refused: 400, if it is not an object of numbers and strings.
    """
    asked = metadata.get("simulator", {})
    if not isinstance(asked, dict):
        raise invalid("metadata.simulator: Input should be a valid dictionary")
    for name, value in asked.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise invalid(f"metadata.simulator.{name}: Input should be a number or a string")
    return {name: value if isinstance(value, str) else f"{value!r}" for name, value in asked.items()}


def read(defaults: Options, *sources: Mapping[str, str]) -> Options:
    """
    Return the options of one request.

    Args:
        defaults: the pace and seed where nothing is asked for.
        sources: names and values as text, the strongest source first.

    Raises:
        Refused: 400, if a name is unknown or a value is out of bounds.
    """
    asked: dict[str, str] = {}
    for source in reversed(sources):
        asked.update(source)
    unknown = sorted(asked.keys() - _READERS.keys())
    if unknown:
        raise invalid(f"simulator: no option {unknown[0][:40]!r}; there are {', '.join(_READERS)}")
    values = {name: _READERS[name](name, text) for name, text in asked.items()}
    return _options(defaults, values)


def without_failure(chosen: Options) -> Options:
    """
    Return the options of a request that is to be served after all.
    """
    return replace(chosen, refusal=None, fault=None)


def _options(defaults: Options, values: Mapping[str, Any]) -> Options:
    refuse = values.get("refuse")
    refusal = refuse if isinstance(refuse, Refusal) else None
    if refusal is not None and "retry_after" in values:
        refusal = with_retry_after(refusal, values["retry_after"])
    return Options(
        ttft_s=values.get("ttft_s", defaults.ttft_s),
        tokens_per_s=values.get("tokens_per_s", defaults.tokens_per_s),
        seed=values.get("seed", defaults.seed),
        refusal=refusal,
        fault=refuse if isinstance(refuse, Fault) else None,
        refuse_times=values.get("refuse_times"),
    )
