"""Pace, seed and failure can be asked for in a header, in metadata or behind the model's name."""

from typing import Any

import pytest

from streamkeep.simulator import options
from streamkeep.simulator.options import Options
from streamkeep.simulator.refusals import Ending, Fault, Refusal, Refused

DEFAULTS = Options(ttft_s=0.3, tokens_per_s=60.0, seed=1)


def test_without_any_source_the_defaults_hold() -> None:
    """Nothing asked, nothing changed."""
    assert DEFAULTS == options.read(DEFAULTS)


def test_headers_are_found_in_any_case() -> None:
    """Only the simulator's headers are options, under the names they have in a body."""
    headers = {"X-Simulator-Tokens-Per-S": "5", "x-simulator-seed": "9", "X-Api-Key": "secret"}

    assert {"tokens_per_s": "5", "seed": "9"} == options.in_headers(headers)


def test_a_models_name_carries_options_behind_a_question_mark() -> None:
    """The name without them is the model."""
    assert ("simulated-1", {"seed": "7", "refuse": "reset-after:3"}) == options.in_model(
        "simulated-1?seed=7&refuse=reset-after:3"
    )
    assert ("simulated-1", {}) == options.in_model("simulated-1")


def test_a_broken_query_is_refused() -> None:
    """What is no query is no model's name either."""
    with pytest.raises(Refused, match="name=value"):
        options.in_model("simulated-1?fast")


def test_metadata_carries_options_as_numbers_or_text() -> None:
    """Numbers are read as they stand."""
    assert {"ttft_s": "0.5", "seed": "3", "refuse": "429"} == options.in_metadata(
        {"user_id": "u", "simulator": {"ttft_s": 0.5, "seed": 3, "refuse": "429"}}
    )
    assert {} == options.in_metadata({})


@pytest.mark.parametrize("asked", [[], "x", {"seed": True}, {"seed": None}, {"seed": {}}])
def test_other_metadata_is_refused(asked: Any) -> None:
    """Only an object of numbers and texts is taken."""
    with pytest.raises(Refused, match=r"metadata\.simulator"):
        options.in_metadata({"simulator": asked})


def test_the_first_source_wins() -> None:
    """Sources are given in the order of their strength."""
    chosen = options.read(DEFAULTS, {"seed": "1"}, {"seed": "2", "ttft_s": "0"}, {"ttft_s": "9", "tokens_per_s": "0"})

    assert Options(ttft_s=0.0, tokens_per_s=0.0, seed=1) == chosen


@pytest.mark.parametrize(
    "name, value",
    [
        ("ttft_s", "-1"),
        ("ttft_s", "601"),
        ("ttft_s", "nan"),
        ("ttft_s", "soon"),
        ("tokens_per_s", "inf"),
        ("tokens_per_s", "1000001"),
        ("seed", "1.5"),
        ("seed", "-1"),
        ("seed", str(2**63)),
        ("retry_after", "3601"),
        ("refuse_times", "1001"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: str) -> None:
    """I10: each option has bounds, and its error names it and them."""
    with pytest.raises(Refused, match=rf"^{name}: .* to \d"):
        options.read(DEFAULTS, {name: value})


@pytest.mark.parametrize("name", ["replay", "file", ""])
def test_an_unknown_option_is_refused(name: str) -> None:
    """A typing error is told, and no request names a file."""
    with pytest.raises(Refused, match="tokens_per_s"):
        options.read(DEFAULTS, {name: "x"})


def test_a_refusal_takes_its_retry_after() -> None:
    """Seconds to wait are part of the refusal."""
    chosen = options.read(DEFAULTS, {"refuse": "529", "retry_after": "3", "refuse_times": "2"})

    assert isinstance(chosen.refusal, Refusal)
    assert {"retry-after": "3"} == dict(chosen.refusal.headers)
    assert 2 == chosen.refuse_times
    assert chosen.fault is None


def test_a_fault_is_no_refusal_and_can_be_forgiven() -> None:
    """A stream that is to break starts all the same; without its failure the rest of the options hold."""
    chosen = options.read(DEFAULTS, {"refuse": "reset-after:4", "seed": "8"})

    assert (None, Fault(Ending.RESET, 4)) == (chosen.refusal, chosen.fault)
    assert options.read(DEFAULTS, {"seed": "8"}) == options.without_failure(chosen)
