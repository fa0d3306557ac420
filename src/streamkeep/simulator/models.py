"""
List the simulated models in the shape of the Models API.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from streamkeep.simulator.options import Options
from streamkeep.simulator.refusals import Refusal, Refused, invalid
from streamkeep.simulator.request import MAX_OUTPUT_TOKENS, THINKS_BY_DEFAULT

FAST: Final = "simulated-1-fast"
"""The listed model that answers at `FAST_FACTOR` times the pace."""

FAST_FACTOR: Final = 4.0
"""How much faster the fast model is."""

MAX_PAGE: Final = 1000
"""Models of one page, as at the Models API."""

_NAMES: Final[Mapping[str, str]] = {
    "simulated-1": "Simulated 1",
    FAST: "Simulated 1 Fast",
    THINKS_BY_DEFAULT: "Simulated 1 Thinking",
}


def _supports(*supported: str, among: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"supported": name in supported} for name in among}


def _capabilities() -> dict[str, Any]:
    plain = ("batch", "citations", "code_execution", "image_input", "pdf_input", "structured_outputs")
    efforts = ("low", "medium", "high", "max", "xhigh")
    kinds = ("adaptive", "between_tools", "disabled", "enabled")
    return {
        **_supports("citations", "structured_outputs", among=plain),
        "context_management": {"supported": False},
        "effort": {"supported": False, **_supports(among=efforts)},
        "server_tools": {"supported": False, **_supports(among=("code_execution", "web_search"))},
        "thinking": {"supported": True, "types": _supports(*kinds, among=kinds)},
    }


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": _NAMES.get(name, name),
        "created_at": "2024-06-21T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "max_input_tokens": 1_000_000,
        "max_tokens": MAX_OUTPUT_TOKENS,
        "capabilities": _capabilities(),
    }


def pace_of(name: str, defaults: Options) -> Options:
    """
    Return the options of a model where the request has none of its own: the fast one is faster.
    """
    if name != FAST:
        return defaults
    return replace(defaults, ttft_s=defaults.ttft_s / FAST_FACTOR, tokens_per_s=defaults.tokens_per_s * FAST_FACTOR)


def model(name: str) -> dict[str, Any]:
    """
    Return one listed model.

    Raises:
        Refused: 404, if it is not listed; a message may name it all the same.
    """
    if name not in _NAMES:
        raise Refused(Refusal(404, "not_found_error", f"model: {name[:64]}"))
    return _model(name)


def page(query: Mapping[str, str]) -> dict[str, Any]:
    """
    Return a page of the list.

    Args:
        query: `limit`, `after_id` and `before_id`, as text.

    Raises:
        Refused: 400, if `limit` is none or an id is not listed.
    """
    names = list(_NAMES)
    limit = query.get("limit", "20")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_PAGE):
        raise invalid(f"limit: Input should be a whole number from 1 to {MAX_PAGE}")
    for key in ("after_id", "before_id"):
        if key in query and query[key] not in names:
            raise invalid(f"{key}: no such model")
    if "before_id" in query:
        left = names[: names.index(query["before_id"])]
        shown = left[-int(limit) :]
    else:
        left = names[names.index(query["after_id"]) + 1 :] if "after_id" in query else names
        shown = left[: int(limit)]
    return {
        "data": [_model(name) for name in shown],
        "has_more": len(left) > len(shown),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
