"""Each way to fail has a name."""

import pytest

from streamkeep.simulator.refusals import (
    KNOWN,
    MAX_AFTER,
    Ending,
    Fault,
    Refusal,
    Refused,
    error_body,
    invalid,
    refusal_or_fault,
    with_retry_after,
)


@pytest.mark.parametrize("name", KNOWN)
def test_each_known_name_means_something(name: str) -> None:
    """What an error's text offers is taken."""
    assert isinstance(refusal_or_fault(name.replace("N", "3")), Refusal | Fault)


@pytest.mark.parametrize(
    "name, fault",
    [
        ("error-first", Fault(Ending.ERROR_EVENT, 0)),
        ("error-after:7", Fault(Ending.ERROR_EVENT, 7)),
        ("truncate-after:1", Fault(Ending.CLEAN_END, 1)),
        ("reset-after:0", Fault(Ending.RESET, 0)),
        ("stall-after:9", Fault(Ending.SILENCE, 9)),
        ("stall-pings-after:9", Fault(Ending.PINGS, 9)),
        ("hang-after-end", Fault(Ending.SILENCE, None)),
    ],
)
def test_a_fault_says_when_and_how(name: str, fault: Fault) -> None:
    """The count behind the name is the number of events before it."""
    assert fault == refusal_or_fault(name)


@pytest.mark.parametrize("name", ["", "418", "reset-after", "reset-after:", "reset-after:-1", "x:1", "html:1"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    """The error's text says what there is."""
    with pytest.raises(Refused) as refused:
        refusal_or_fault(name)

    assert 400 == refused.value.refusal.status
    assert "reset-after:N" in refused.value.refusal.message


def test_a_count_is_bounded() -> None:
    """I10: the bound of a count is in the error's text."""
    with pytest.raises(Refused, match=str(MAX_AFTER)):
        refusal_or_fault(f"reset-after:{MAX_AFTER + 1}")


def test_an_error_body_has_the_apis_shape() -> None:
    """A response names its request; an `error` event does not."""
    error = {"type": "api_error", "message": "no"}

    assert {"type": "error", "error": error, "request_id": "req_1"} == error_body("api_error", "no", "req_1")
    assert {"type": "error", "error": error} == error_body("api_error", "no")


def test_retry_after_can_be_set() -> None:
    """The header's seconds replace those of the refusal and leave the rest."""
    refusal = refusal_or_fault("429")
    assert isinstance(refusal, Refusal)

    changed = with_retry_after(refusal, 2.5)

    assert {"retry-after": "1"} == dict(refusal.headers)
    assert {"retry-after": "2.5"} == dict(changed.headers)
    assert refusal.message == changed.message


def test_a_malformed_request_is_an_invalid_request() -> None:
    """The refusal carries the words as they are."""
    refusal = invalid("model: Field required").refusal

    assert (400, "invalid_request_error", "model: Field required") == (refusal.status, refusal.kind, refusal.message)
