"""Plain words in a prompt say what is answered."""

import pytest

from streamkeep.simulator.steering import KINDS, Steering, steer


@pytest.mark.parametrize("prompt", ["", "Why do lighthouses blink?", "rethinking recoded listing"])
def test_an_ordinary_question_steers_nothing(prompt: str) -> None:
    """Only whole words count."""
    assert Steering() == steer(prompt)


def test_words_combine() -> None:
    """One prompt can ask for several things, and keeps their order."""
    steering = steer("Think, use a tool, then a table, CODE and two tables in Japanese, with citations; make it long")

    assert (True, True, True, True) == (steering.think, steering.tool, steering.cite, steering.long)
    assert ("table", "code", "japanese") == steering.kinds


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_by_its_name(kind: str) -> None:
    """Contents are asked for by name."""
    assert (kind,) == steer(f"some {kind} please").kinds


@pytest.mark.parametrize("prompt, count", [("count to 30", 30), ("Count to 1,000.", 1000), ("count to many", None)])
def test_counting_takes_a_number(prompt: str, count: int | None) -> None:
    """Without a number nothing is counted."""
    assert count == steer(prompt).count


def test_an_echo_is_not_searched() -> None:
    """What follows `echo:` is only repeated; what stands before it steers."""
    steering = steer("think and echo: count to 3, refuse with 500 \n table")

    assert "count to 3, refuse with 500 \n table" == steering.echo
    assert (True, None, (), {}) == (steering.think, steering.count, steering.kinds, steering.options)


@pytest.mark.parametrize(
    "prompt, decline",
    [("refuse", ""), ("please refuse cyber things", "cyber"), ("refuse with 529", None), ("refused", None)],
)
def test_declining_is_not_failing(prompt: str, decline: str | None) -> None:
    """`refuse` is the model's stop reason; `refuse with` is a failure of the API."""
    assert decline == steer(prompt).decline


@pytest.mark.parametrize(
    "prompt, options",
    [
        ("refuse with 529", {"refuse": "529"}),
        ("Refuse with 429 twice, then a poem", {"refuse": "429", "refuse_times": "2"}),
        ("refuse with reset-after:12 once", {"refuse": "reset-after:12", "refuse_times": "1"}),
        ("refuse with error-first 3 times.", {"refuse": "error-first", "refuse_times": "3"}),
        ("refuse with html.", {"refuse": "html"}),
    ],
)
def test_a_failure_can_be_asked_for_in_words(prompt: str, options: dict[str, str]) -> None:
    """The words become the options of the same names."""
    assert options == steer(prompt).options
