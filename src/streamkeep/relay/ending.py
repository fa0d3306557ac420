"""
Compose the last entry of a log: how it ended, what it cost, how long it took, and the digest of what was shown.

Pure: no I/O, no clock.
"""

from typing import Any

import msgspec

from streamkeep.entry import CANCELLED, COMPLETED, FAILED, Event, event
from streamkeep.errors import StreamkeepError, UpstreamError
from streamkeep.message import MessageFold


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When things happened to one stream, in seconds of one monotonic clock."""

    accepted: float
    first_visible: float | None
    """When the first thing to show came."""
    ended: float

    def json(self, output_tokens: int | None) -> dict[str, Any]:
        """
        Give the public form.

        Args:
            output_tokens: For the rate, which is that between the first visible event and the end.
        """
        duration_ms = _ms(self.ended - self.accepted)
        if self.first_visible is None:
            return {"ttft_ms": None, "duration_ms": duration_ms, "output_tokens_per_s": None}
        span_s = self.ended - self.first_visible
        rate = round(output_tokens / span_s, 1) if output_tokens and span_s > 0 else None
        return {
            "ttft_ms": _ms(self.first_visible - self.accepted),
            "duration_ms": duration_ms,
            "output_tokens_per_s": rate,
        }


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """A stop's receipt (I14)."""

    by: str
    """Who asked: `caller`, or a rule's name."""
    requested_at: float
    """Seconds since the Unix epoch."""
    upstream_closed_ms: float | None
    """From the request until the connection to the model was closed; None if there was none."""


CHARACTERS_PER_TOKEN = 4
"""For estimating output tokens when an answer broke before its count came; the vendors' rule of thumb for English."""


def completed(fold: MessageFold, timing: Timing) -> Event:
    """Compose the ending of an answer that is whole."""
    return event(COMPLETED, _common(fold, timing))


def failed(fold: MessageFold, timing: Timing, error: StreamkeepError, text: str) -> Event:
    """
    Compose the ending of an answer that broke.

    Args:
        fold: What there is of it.
        timing: Of the stream.
        error: What happened.
        text: What to tell people of it.
    """
    detail = {
        "code": error.code,
        "type": error.kind if isinstance(error, UpstreamError) else "api_error",
        "message": text,
        "blame": error.blame,
        "status": error.status,
        "retryable": error.retryable,
    }
    if error.retry_after is not None:
        detail["retry_after"] = error.retry_after
    return event(FAILED, {"error": detail, **_common(fold, timing)})


def cancelled(fold: MessageFold, timing: Timing, stop: Stop) -> Event:
    """Compose the ending of an answer that was stopped."""
    return event(CANCELLED, {"cancel": msgspec.to_builtins(stop), **_common(fold, timing)})


def _common(fold: MessageFold, timing: Timing) -> dict[str, Any]:
    usage = fold.usage()
    estimated = not fold.complete
    if estimated and usage:
        shown = len(fold.text()) // CHARACTERS_PER_TOKEN
        usage["output_tokens"] = max(usage.get("output_tokens") or 0, shown)
    output_tokens = usage.get("output_tokens")
    return {
        "stop_reason": fold.stop_reason,
        "usage": usage,
        "usage_estimated": estimated,
        "timing": timing.json(output_tokens if isinstance(output_tokens, int) else None),
        "attempts": fold.attempts,
        "digest": fold.digest(),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
