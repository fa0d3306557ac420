"""Answers are worth looking at."""

import json
from random import Random

import pytest

from streamkeep.simulator import corpus
from streamkeep.simulator.steering import MAX_COUNT, Steering, steer
from streamkeep.simulator.texts import compose, follow_up


def test_an_echo_is_word_for_word() -> None:
    """Not even spaces change."""
    assert "  a\r\nb 🇵🇹 " == compose(steer("echo:   a\r\nb 🇵🇹 "), Random(0))


def test_counting_ends_where_it_should() -> None:
    """Every number once, up to the bound."""
    assert "1, 2, 3, 4, 5" == compose(Steering(count=5), Random(0))
    assert compose(Steering(count=MAX_COUNT + 5), Random(0)).endswith("9999, 10000\n\nI stop at 10,000.")


@pytest.mark.parametrize("seed", range(3))
def test_json_is_one_json_document(seed: int) -> None:
    """Nothing stands around it."""
    assert isinstance(json.loads(compose(steer("json please"), Random(seed))), dict)


@pytest.mark.parametrize(
    "kind, mark",
    [
        ("table", "|"),
        ("code", "```"),
        ("list", "- "),
        ("poem", "\n"),
        ("math", "$$"),
        ("emoji", "️"),
        ("greek", "φάρου"),
    ],
)
def test_a_kind_brings_its_marks(kind: str, mark: str) -> None:
    """What was asked for is there."""
    assert all(mark in compose(Steering(kinds=(kind,)), Random(seed)) for seed in range(5))


@pytest.mark.parametrize("seed", range(5))
def test_an_ordinary_answer_shows_everything_a_page_must_render(seed: int) -> None:
    """Headings, a list, code, a table, a quotation, emoji and another script."""
    text = compose(Steering(), Random(seed))

    assert all(mark in text for mark in ("# ", "\n## In order", "```", "|", "\n> "))
    assert any(emoji in text for emoji in corpus.EMOJI)
    assert sum(script in text for script in corpus.SCRIPTS.values()) == 2


def test_answers_vary_with_the_randomness() -> None:
    """Not every question has the same answer."""
    assert len({compose(Steering(), Random(seed)) for seed in range(20)}) > 15


def test_a_long_answer_tells_all_stories() -> None:
    """Long is long because it says more, not because it repeats."""
    text = compose(Steering(long=True), Random(0))

    assert all(text.count(f"## {title}\n") == 1 for title, _ in corpus.PROSE)


def test_a_follow_up_repeats_what_the_tools_said() -> None:
    """One result is a sentence, several are a list; both are cut to a length."""
    assert follow_up(["14 °C"], Random(0)).startswith("The tool says: 14 °C\n\n")
    assert follow_up(["a", "", "x" * 999], Random(0)).startswith(f"1. a\n2. nothing\n3. {'x' * 200}\n\n")
