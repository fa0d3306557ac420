"""The error tree: drawn as it is, each with a stable code, a status and somebody to blame."""

import re
from collections.abc import Iterator

import pytest

from streamkeep import errors
from streamkeep.errors import (
    CallerError,
    Conflict,
    CursorAhead,
    Overloaded,
    SseError,
    StoreError,
    StreamkeepError,
    UpstreamBusy,
    UpstreamError,
    UpstreamGone,
)


def tree(root: type[StreamkeepError], depth: int = 0) -> Iterator[tuple[int, type[StreamkeepError]]]:
    """Walk the classes of errors.py, parents first, in the order in which they are written."""
    yield depth, root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


CLASSES = [each for _, each in tree(StreamkeepError)]


def test_the_drawing_is_the_tree() -> None:
    """The head of the file shows every class under its parent, and no other."""
    drawn = re.findall(r"^([│├└─ ]+)?([A-Z]\w+)$", str(errors.__doc__).partition("Laws")[0], re.MULTILINE)

    assert [(depth, each.__name__) for depth, each in tree(StreamkeepError)] == [
        (len(lines) // 4, name) for lines, name in drawn
    ]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_has_a_code_a_status_and_somebody_to_blame(error: type[StreamkeepError]) -> None:
    """Laws 1 and 3: programs compare the code, HTTP wants the status; a caller's fault is a 4xx and no other is."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert error.blame in {"caller", "upstream", "store", "server"}
    assert (error.blame == "caller") == (error.status < 500) or issubclass(error, StoreError)
    assert 400 <= error.status < 600
    assert error.__doc__


def test_no_two_classes_define_the_same_code() -> None:
    """Law 1: the code alone tells what happened."""
    codes = [error.code for error in CLASSES if "code" in vars(error)]

    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("branch, blame", [(CallerError, "caller"), (UpstreamError, "upstream"), (StoreError, "store")])
def test_a_branch_has_one_to_blame(branch: type[StreamkeepError], blame: str) -> None:
    """Law 1: catching a branch is catching one party's faults."""
    assert {blame} == {each.blame for _, each in tree(branch)}


@pytest.mark.parametrize(
    "status, kind",
    [(400, "invalid_request_error"), (418, "invalid_request_error"), (529, "overloaded_error"), (503, "api_error")],
)
def test_a_status_has_its_error_type(status: int, kind: str) -> None:
    """Statuses that the Messages API does not name are the caller's below 500 and the server's above."""
    assert kind == errors.kind_of(status)


@pytest.mark.parametrize("error", [each for each in CLASSES if each.retry_after is not None])
def test_who_is_told_when_to_try_again_may_try_again(error: type[StreamkeepError]) -> None:
    """A time to wait makes sense only where another try may help."""
    assert error.retryable


def test_the_text_is_what_a_person_reads_and_the_code_can_be_finer() -> None:
    """Law 2: no decoration around the text; a finer code belongs to the one error, not to its class."""
    finer = errors.BadRequest("No model is named.", code="model_missing")

    assert ("No model is named.", "No model is named.", "model_missing") == (str(finer), finer.message, finer.code)
    assert "bad_request" == errors.BadRequest("Again.").code


def test_an_upstream_error_carries_what_the_vendor_said() -> None:
    """Retries obey the vendor: its type, its status, its wish when to come back."""
    said = UpstreamBusy("The model is overloaded.", kind="overloaded_error", status=503, retry_after=2.5)

    assert ("overloaded_error", 503, 2.5, True) == (said.kind, said.status, said.retry_after, said.retryable)


def test_an_upstream_error_without_details_has_its_class_for_them() -> None:
    """What the vendor left out is what the class says; an explicit no to retries wins over it."""
    bare = UpstreamGone("The connection broke.")

    assert ("api_error", 502, None, True) == (bare.kind, bare.status, bare.retry_after, bare.retryable)
    assert not UpstreamGone("The connection broke.", retryable=False).retryable
    assert UpstreamGone.retryable


def test_refusals_carry_where_the_log_stands() -> None:
    """I7: a reader gets the head as cursor text, a writer as a number."""
    assert "k3f7x2.9" == CursorAhead("Ahead.", head="k3f7x2.9").head
    assert 9 == Conflict("The log moved on.", head=9).head


def test_the_server_does_not_blame_others_for_itself() -> None:
    """Overload is this server's; a field that cannot be sent is what this server was about to send."""
    assert "server" == Overloaded.blame == errors.IllegalField.blame == StreamkeepError.blame
    assert "upstream" == SseError.blame == errors.LineTooLong.blame
