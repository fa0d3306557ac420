"""Every piece has its time."""

import pytest

from streamkeep.simulator.events import Event
from streamkeep.simulator.pace import MAX_TOGETHER, TICK_S, Frame, due_s, due_until, paced, pause_s


def events(*tokens: int) -> list[Event]:
    return [Event(b"%d" % nth, count) for nth, count in enumerate(tokens)]


def test_the_first_token_comes_after_the_first_wait() -> None:
    """What costs nothing is due with the token before it, and at the start with the first token."""
    frames = paced(events(0, 0, 1, 1, 0, 1), ttft_s=0.5, tokens_per_s=10)

    assert [0.5, 0.5, 0.5, 0.6, 0.6, 0.7] == [pytest.approx(frame.due_s) for frame in frames]


def test_hidden_tokens_take_their_time() -> None:
    """A signature behind five unseen tokens comes when they are done."""
    assert [0.0, 0.5] == [frame.due_s for frame in paced(events(0, 6), ttft_s=0, tokens_per_s=10)]


def test_no_pace_is_all_at_once() -> None:
    """A pace of 0 only waits for the first token."""
    assert {0.2} == {frame.due_s for frame in paced(events(0, 1, 1), ttft_s=0.2, tokens_per_s=0)}


def test_due_times_do_not_drift() -> None:
    """They are counted from the request, not from each other."""
    assert 1000.3 == due_s(60_000, ttft_s=0.3, per_s=60)


def test_what_is_due_goes_together() -> None:
    """Late frames are made up for, up to a bound."""
    frames = [Frame(b"", due_s=nth / 10) for nth in range(10)]

    assert 4 == due_until(frames, 0, elapsed_s=0.35)
    assert 4 == due_until(frames, 4, elapsed_s=0.35)
    assert 10 == due_until(frames, 4, elapsed_s=99)
    assert 5 == due_until(frames, 4, elapsed_s=99, most=1)
    assert MAX_TOGETHER == due_until(frames * 10, 0, elapsed_s=99)


@pytest.mark.parametrize(
    "due, pause", [(1.5, 0.5), (1.0 + TICK_S / 9, TICK_S), (1.0, 0.0), (0.2, 0.0)], ids=["far", "near", "now", "late"]
)
def test_a_pause_lasts_until_the_next_frame_but_a_tick_at_least(due: float, pause: float) -> None:
    """At high rates several frames share a wake-up."""
    assert pytest.approx(pause) == pause_s(due, elapsed_s=1.0)
