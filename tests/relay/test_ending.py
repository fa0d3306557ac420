"""The last entry: how it ended, what it cost, how long it took."""

from typing import Any

import pytest

from streamkeep.entry import CANCELLED, COMPLETED, FAILED, Entry
from streamkeep.errors import StoreFull, UpstreamBusy
from streamkeep.message import MessageFold, fold
from streamkeep.relay.ending import Stop, Timing, cancelled, completed, failed
from tests.relay.scripted import CLOSING, OPENING, delta

TIMING = Timing(accepted=10.0, first_visible=10.5, ended=12.5)


def folded(frames: bytes) -> MessageFold:
    entries = []
    for seq, frame in enumerate(frames.split(b"\n\n")[:-1], 1):
        name, data = frame.removeprefix(b"event: ").split(b"\ndata: ")
        entries.append(Entry(seq, 0.0, name.decode(), data))
    return fold(entries)


def data(event: Any) -> dict[str, Any]:
    return Entry(1, 0.0, *event).json()


def test_a_completed_answer_counts_what_the_provider_counted() -> None:
    """Usage is the provider's, and the rate is that of the visible part."""
    event = completed(folded(OPENING + delta("abc") + CLOSING), TIMING)

    told = data(event)
    assert (COMPLETED, {"input_tokens": 3, "output_tokens": 7}, False) == (
        event.name,
        told["usage"],
        told["usage_estimated"],
    )
    assert {"ttft_ms": 500.0, "duration_ms": 2500.0, "output_tokens_per_s": 3.5} == told["timing"]
    assert ["text"] == [block["type"] for block in told["digest"]["blocks"]]


def test_a_broken_answer_estimates_what_was_not_counted() -> None:
    """The provider bills what it said before it broke; an estimate is marked as one."""
    event = failed(folded(OPENING + delta("x" * 400)), TIMING, StoreFull("No space."), "No space.")

    told = data(event)
    assert (FAILED, True, 100) == (event.name, told["usage_estimated"], told["usage"]["output_tokens"])
    assert {
        "code": "store_full",
        "type": "api_error",
        "message": "No space.",
        "blame": "store",
        "status": 507,
        "retryable": False,
    } == told["error"]


def test_an_upstreams_error_keeps_its_type_and_its_wish() -> None:
    """An SDK finds the vendor's own type, and when to come back."""
    error = UpstreamBusy("Busy.", kind="overloaded_error", retry_after=3)

    told = data(failed(MessageFold(), TIMING, error, "Shown."))

    assert ("overloaded_error", 3, "Shown.", True) == tuple(
        told["error"][name] for name in ("type", "retry_after", "message", "retryable")
    )
    assert ({}, 0) == (told["usage"], told["attempts"])


def test_a_stopped_answer_carries_the_receipt() -> None:
    """I14: who asked, when, and how fast the upstream was closed."""
    event = cancelled(MessageFold(), TIMING, Stop(by="caller", requested_at=3.0, upstream_closed_ms=1.5))

    assert (CANCELLED, {"by": "caller", "requested_at": 3.0, "upstream_closed_ms": 1.5}) == (
        event.name,
        data(event)["cancel"],
    )


@pytest.mark.parametrize(
    "timing, tokens, expected",
    [
        (Timing(accepted=1, first_visible=None, ended=2), 5, (None, 1000.0, None)),
        (Timing(accepted=1, first_visible=2, ended=2), 5, (1000.0, 1000.0, None)),
        (Timing(accepted=1, first_visible=2, ended=4), None, (1000.0, 3000.0, None)),
        (Timing(accepted=1, first_visible=2, ended=4), 5, (1000.0, 3000.0, 2.5)),
    ],
)
def test_a_rate_is_given_only_where_there_is_one(
    timing: Timing, tokens: int | None, expected: tuple[float | None, ...]
) -> None:
    """Nothing is divided by nothing."""
    assert expected == tuple(timing.json(tokens).values())
