"""What a start may ask for, and what it may not."""

from typing import Any

import pytest

from streamkeep.errors import BadRequest
from streamkeep.relay import policy
from streamkeep.relay.policy import DEFAULT_MAX_TOKENS, MAX_METADATA_BYTES, Policy, Timeouts, check_id, read_policy

DEFAULT = Policy(retries=5, timeouts=Timeouts(idle=7), ttl=11)


def read(body: dict[str, Any], **how: Any) -> policy.Start:
    return policy.read_start(body, **{"default": DEFAULT, "headers": {}, "idempotency_key": None, **how})


def read_vendor(body: dict[str, Any], given: object = None) -> policy.Start:
    return policy.read_vendor_start(body, given, default=DEFAULT, headers={}, idempotency_key=None)


def test_our_members_are_taken_out_of_the_request() -> None:
    """The provider sees a Messages request and nothing of ours."""
    start = read(
        {"id": "mine", "provider": "p", "policy": {"retries": 1}, "stream": True, "model": "m", "max_tokens": 9, "x": 1}
    )

    assert ("mine", "p", 1) == (start.id, start.provider, start.policy.retries)
    assert {"model": "m", "max_tokens": 9, "x": 1} == start.request


def test_a_prompt_stands_for_one_user_message() -> None:
    """For people at a terminal."""
    start = read({"prompt": "Hi"})

    assert {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": DEFAULT_MAX_TOKENS} == start.request


def test_metadata_is_the_callers_and_only_user_id_goes_out() -> None:
    """What the caller keeps with a stream is not the vendor's business."""
    start = read({"prompt": "Hi", "metadata": {"user_id": "u", "team": "secret"}})

    assert ({"user_id": "u", "team": "secret"}, {"user_id": "u"}) == (start.metadata, start.request["metadata"])
    assert "metadata" not in read({"prompt": "Hi", "metadata": {"user_id": 7}}).request


@pytest.mark.parametrize(
    "body, said",
    [
        ({"metadata": []}, ""),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"x": "y" * MAX_METADATA_BYTES}}, "metadata"),
        ({"metadata": {"x": object()}}, "metadata"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x", "messages": []}, "either"),
        ({"id": ""}, "id"),
        ({"id": "ä"}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": 7}, "id"),
        ({"provider": 7}, "provider"),
        ({"model": 7}, "model"),
        ({"policy": 7}, "policy"),
        ({"policy": {"unknown": 1}}, "policy"),
        ({"policy": {"retries": 11}}, "retries"),
        ({"policy": {"retries": -1}}, "retries"),
        ({"policy": {"retries": "2"}}, "policy"),
        ({"policy": {"ttl": -1}}, "ttl"),
        ({"policy": {"ttl": 3e9}}, "ttl"),
        ({"policy": {"cancel_when_unwatched": 0}}, "cancel_when_unwatched"),
        ({"policy": {"cancel_when_unwatched": 1e6}}, "cancel_when_unwatched"),
        ({"policy": {"timeouts": {"idle": 0}}}, "timeouts.idle"),
        ({"policy": {"timeouts": {"total": float("nan")}}}, "timeouts.total"),
        ({"policy": {"timeouts": 7}}, "policy"),
        ({"messages": [object()]}, "JSON"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(body: dict[str, Any], said: str) -> None:
    """I10: each bound is checked before anything is started, and named in the error."""
    if body == {"metadata": []}:
        assert {} == read(body).metadata
        return
    with pytest.raises(BadRequest, match=said):
        read(body)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_its_bounds(key: str) -> None:
    """I10: a key is neither empty nor endless."""
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        read({"prompt": "x"}, idempotency_key=key)


def test_what_a_policy_leaves_out_is_the_servers() -> None:
    """A caller changes one limit and keeps the others."""
    got = read_policy({"timeouts": {"total": 5}, "ttl": 2}, DEFAULT)

    assert Policy(retries=5, timeouts=Timeouts(idle=7, total=5), ttl=2) == got
    assert DEFAULT is read_policy(None, DEFAULT)


def test_a_vendors_request_knows_only_our_policy() -> None:
    """In the vendor's dialect `id` and `provider` are not ours; the body's policy goes before the header's."""
    start = read_vendor({"id": "x", "provider": "y", "model": "m", "metadata": {"user_id": "u"}}, {"retries": 1})
    both = read_vendor({"model": "m", "policy": {"retries": 2}}, {"retries": 1})

    assert (None, None, 1, 2) == (start.id, start.provider, start.policy.retries, both.policy.retries)
    assert {"user_id": "u"} == start.request["metadata"]


def test_a_fingerprint_covers_all_that_decides_the_answer() -> None:
    """I15: order of members does not matter, everything else that is asked does."""
    base = read({"model": "m", "prompt": "x"}).fingerprint
    same = read({"prompt": "x", "model": "m"}, idempotency_key="k").fingerprint
    others = [
        read({"model": "n", "prompt": "x"}),
        read({"model": "m", "prompt": "y"}),
        read({"model": "m", "prompt": "x", "provider": "p"}),
        read({"model": "m", "prompt": "x", "policy": {"retries": 0}}),
        read({"model": "m", "prompt": "x", "metadata": {"a": 1}}),
        read({"model": "m", "prompt": "x"}, headers={"anthropic-beta": "b"}),
    ]

    assert base == same
    assert 7 == len({base, *[other.fingerprint for other in others]})


def test_an_id_is_fit_for_a_path() -> None:
    """It needs no escaping anywhere."""
    assert "aZ09_-" == check_id("aZ09_-")
    with pytest.raises(BadRequest):
        check_id("a\n")
