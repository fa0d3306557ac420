"""What every provider needs: names that can be kept, one line of JSON, how long to wait."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep.providers.base import (
    MAX_EVENT_NAME,
    MAX_RETRY_AFTER_S,
    is_event_name,
    one_line,
    retry_after_s,
)

DATE = "Fri, 20 Nov 2026 07:00:00 GMT"


@pytest.mark.parametrize("name", ["message_stop", "vendor.new-event", "größe", "n" * MAX_EVENT_NAME])
def test_a_short_printable_name_can_be_kept(name: str) -> None:
    """Whatever a vendor calls its events."""
    assert is_event_name(name)


@pytest.mark.parametrize("name", ["", "n" * (MAX_EVENT_NAME + 1), "a\nb", "a\0b", "a\tb", "stream.completed", "\ud800"])
def test_a_name_that_breaks_frames_or_is_the_relays_cannot(name: str) -> None:
    """I10: names are bounded; nobody but the relay ends a log."""
    assert not is_event_name(name)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=5)
)
def test_json_of_several_lines_means_the_same_on_one(value: object) -> None:
    """A line end can stand only between tokens."""
    for data in (json.dumps(value, indent=1).encode(), json.dumps(value, indent=1).replace("\n", "\r\n").encode()):
        line = one_line(data)

        assert value == json.loads(line)
        assert not {b"\n"[0], b"\r"[0]} & set(line)


def test_json_of_one_line_stays_the_same_object() -> None:
    """The usual case costs no copy."""
    data = b'{"type":"x"}   '

    assert one_line(data) is data


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "999999999"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Fri, 20 Nov 2026 07:00:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 08:00:30 +0100", "date": DATE}, 30.0),
        ({"retry-after": "Friday, 20-Nov-26 07:00:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Fri Nov 20 07:00:30 2026", "date": DATE}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 06:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Sat, 20 Nov 2027 07:00:00 GMT", "date": DATE}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Fri, 20 Nov 2026 07:00:30 GMT"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 07:00:30 GMT", "date": "today"}, None),
        ({"retry-after": "Fri, 99 Nov 2026 07:00:30 GMT", "date": DATE}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2300", "date": DATE}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds before seconds before a date, which counts from the response's own date (RFC 9110, 10.2.3)."""
    assert seconds == retry_after_s(headers)


@pytest.mark.parametrize(
    "value", ["", " ", "-1", "nan", "inf", "1e3", "1_0", "9" * 400, "\u0667", "7 s", "soon", "x" * 9999]
)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_garbage_asks_for_nothing(name: str, value: str) -> None:
    """I10: what is no number of seconds and no date is as if it were not there."""
    assert retry_after_s({name: value, "date": DATE}) is None


@given(st.text(max_size=70), st.text(max_size=70))
def test_no_header_raises(asked: str, date: str) -> None:
    """Law 1: whatever a proxy writes into a header."""
    seconds = retry_after_s({"retry-after": asked, "date": date})

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S
