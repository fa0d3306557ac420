"""What of an upstream's words may be shown."""

from typing import Any

import pytest

from streamkeep.errors import UpstreamBusy
from streamkeep.relay.clearance import MAX_DETAIL_CHARACTERS, MAX_REQUEST_CHARACTERS, WINDOW, plain, shown

PROMPT = "my bank account at the corner of the street is 4711"
REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}


def say(detail: str, request: Any = REQUEST) -> str:
    return shown(UpstreamBusy("Busy.", detail=detail), request, ["the-key-itself", ""])


def test_clean_words_are_shown_behind_ours() -> None:
    """What the vendor says often helps; white space is made plain."""
    assert "Busy. It said: Overloaded, please wait" == say("Overloaded,\n\tplease  wait")
    assert "Busy." == say("")


@pytest.mark.parametrize(
    "detail",
    [
        "the key is the-key-itself, sorry",
        "invalid sk-ant-api03-abcdef",
        "Bearer abcdefgh",
        "token 0123456789abcdef0123456789abcdef",
        f"cannot answer: {PROMPT}",
        f"cannot answer: {'corner of the street'[: WINDOW + 3]}",
        "cannot answer: MY BANK ACCOUNT AT THE CORNER",
        r"cannot answer: 'my bank\naccount\tat the corner'",
        "the key begins with the-key-",
        "cannot answer: my bank account\n at the corner",
    ],
)
def test_words_that_repeat_key_or_prompt_are_not_shown(detail: str) -> None:
    """The error's text goes to logs, readers and bug reports: no key and no prompt."""
    assert "Busy." == say(detail)


@pytest.mark.parametrize("member", ["system", "tools", "messages"])
def test_every_text_that_people_wrote_counts(member: str) -> None:
    """System prompts and tools are as private as messages, however deep."""
    request = {member: [{"deep": {"er": [PROMPT]}}, {"n": 7}]}

    assert "Busy." == say(f"no: {PROMPT}", request)


def test_line_breaks_do_not_hide_a_prompt() -> None:
    """A prompt of short lines is found though its line breaks were made plain."""
    prompt = "name:\nAda\nborn:\n1815\npin:\n4711\n"

    assert "Busy." == say(f"cannot read {prompt}", {"messages": [{"content": prompt}]})


def test_the_words_of_the_api_itself_are_no_prompt() -> None:
    """`user` and `text` stand in every request and hide nothing."""
    request = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}

    assert "Busy. It said: the user gave no text" == say("the user gave no text", request)


def test_a_request_too_large_to_compare_shows_nothing() -> None:
    """I10: the comparison is bounded, and what was not compared is not shown."""
    request = {"messages": [{"content": "x" * (MAX_REQUEST_CHARACTERS + 1)}]}

    assert "Busy." == say("Overloaded", request)
    assert "Busy. It said: Overloaded" == say("Overloaded", "a text that is no request")


def test_long_words_are_cut() -> None:
    """I10: an error is a sentence or two."""
    assert len("Busy. It said: ") + MAX_DETAIL_CHARACTERS == len(say("very sorry " * 100))


@pytest.mark.parametrize("secret", ["Bearer the-key-itself", "  ", ""])
def test_a_scheme_before_a_key_is_no_secret(secret: str) -> None:
    """`Bearer` is a word that an API may use; what stands behind it is not."""
    error = UpstreamBusy("Busy.", detail="send it as Bearer")

    assert "Busy. It said: send it as Bearer" == shown(error, REQUEST, [secret])


@pytest.mark.parametrize(
    "value, expected",
    [
        ("3", True),
        ("1m30.5s", True),
        ("2026-11-20T07:00:00Z", True),
        ("Fri, 20 Nov 2026 07:00:00 GMT", True),
        ("true", True),
        ("sk-secret", False),
        ("3; said " + PROMPT, False),
        ("", False),
    ],
)
def test_a_header_that_is_a_number_or_a_time_repeats_nothing(value: str, expected: bool) -> None:
    """What an upstream may put into a header that the starter sees is not a text of its choice."""
    assert expected is plain(value)
