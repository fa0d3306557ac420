"""Figures and times as people say them."""

from typing import Any

import pytest

from streamkeep.terminal import words

STREAM: dict[str, Any] = {"id": "st_1", "state": "completed", "cursor": "abc234.412"}


@pytest.mark.parametrize(
    "seconds, said",
    [
        (-3, "0 s"),
        (0, "0 s"),
        (8.4, "8 s"),
        (59.4, "59 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86_399, "23 h"),
        (86_400 * 40, "40 d"),
    ],
)
def test_an_age_has_one_unit(seconds: float, said: str) -> None:
    """The greatest that fits, whole, never rounded into the next."""
    assert said == words.age(seconds)


def test_since_counts_from_a_time_as_it_is_sent() -> None:
    """Seconds from RFC 3339 in UTC to the Unix time given."""
    assert pytest.approx(1.5) == words.since("1970-01-01T00:00:08.500Z", 10.0)


@pytest.mark.parametrize("steering", ["\x1b[2J", "\x07", "\r", "\x9b1m", "\x00", "\x7f"])
def test_what_steers_a_terminal_is_taken_out(steering: str) -> None:
    """Line feeds, tabs and all scripts stay."""
    left = words.printable(f"a{steering}b\n\tü🙂")

    assert not set("\x1b\x07\r\x9b\x00\x7f") & set(left)
    assert left.endswith("b\n\tü🙂")


def test_figures_are_as_many_as_are_known() -> None:
    """All of them for a whole answer; an estimate says that it is one."""
    timing = {"ttft_ms": 412.0, "output_tokens_per_s": 61.7}
    whole = {**STREAM, "timing": timing, "usage": {"output_tokens": 488}}
    broken = {**whole, "state": "failed", "timing": {"ttft_ms": None, "output_tokens_per_s": None}}

    assert "[st_1  ttft 0.41 s  62 tok/s  488 tok]" == words.figures(whole)
    assert "[st_1  ~488 tok]" == words.figures(broken)
    assert "[st_1  0 tok]" == words.figures({**STREAM, "timing": None, "usage": None})


@pytest.mark.parametrize(
    "more, said",
    [
        (
            {"state": "cancelled", "upstream_closed_ms": 31.4, "sealed_at": "2026-11-20T12:00:00.000Z"},
            "Stopped at entry 412: upstream closed after 31 ms, sealed 2026-11-20T12:00:00.000Z.",
        ),
        (
            {"state": "cancelled", "upstream_closed_ms": None, "sealed_at": "2026-11-20T12:00:00.000Z"},
            "Stopped at entry 412: sealed 2026-11-20T12:00:00.000Z.",
        ),
        ({"state": "cancelling"}, "The stop of st_1 is logged; its writer has not sealed the stream yet."),
        (
            {"state": "failed", "ended_at": "2026-11-20T12:00:00.000Z"},
            "st_1 had ended before: failed at 2026-11-20T12:00:00.000Z.",
        ),
    ],
)
def test_a_receipt_in_words(more: dict[str, Any], said: str) -> None:
    """I14: requested, closed, sealed, as far as it came."""
    assert said == words.receipt({**STREAM, **more})


@pytest.mark.parametrize(
    "more, said",
    [
        ({"stop_reason": "end_turn", "error": None}, "end_turn"),
        ({"stop_reason": None, "error": {"code": "producer_lost"}}, "producer_lost"),
        ({}, "-"),
    ],
)
def test_an_ending_in_a_word(more: dict[str, Any], said: str) -> None:
    """The error's code where there is one."""
    assert said == words.ending({**STREAM, **more})
