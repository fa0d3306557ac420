"""The server's figures, as Prometheus reads them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamkeep.lifecycle import State
from streamkeep.server import create_app, metrics
from streamkeep.server.service import Service
from streamkeep.settings import Settings
from streamkeep.stores.base import Head, Record
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import CLOSING, OPENING, Script, Wait, delta, overloaded, whole
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]

SLOW = Script([Wait(2), OPENING + delta("a"), Wait(9), CLOSING])
HANGING = Script([OPENING + delta("a"), Fault.HANG])


async def scrape(hall: Hall) -> dict[str, float]:
    """Give the samples by name with labels, but for those that say when counting began."""
    answer = await hall.ask("GET", "/metrics")
    assert 200 == answer.status
    families = text_string_to_metric_families(answer.body.decode())
    samples = [sample for family in families for sample in family.samples if not sample.name.endswith("_created")]
    return {
        name + "".join(f" {labels[label] or '-'}" for label in sorted(labels, reverse=True)): figure
        for name, labels, figure, *_ in samples
    }


async def test_what_goes_on_now_is_looked_up(hall: Maker) -> None:
    """Streams and readers are those of this moment; the process is this one."""
    opened = await hall(SLOW)
    reader = opened.begin("POST", "/v1/streams", {"prompt": "x", "stream": True})
    await opened.clock.advance(1)

    during = await scrape(opened)
    await reader.task
    after = await scrape(opened)

    names = ("streamkeep_streams_active", "streamkeep_readers")
    assert ([1, 1], [0, 0]) == ([during[name] for name in names], [after[name] for name in names])
    assert during["process_resident_memory_bytes"] > 0


async def test_an_answer_is_counted_when_it_ends(hall: Maker) -> None:
    """Not before; its time to the first token, length, tokens, entries and attempts stand in its ending."""
    opened = await hall(SLOW)
    reader = opened.begin("POST", "/v1/streams", {"id": "one", "prompt": "x", "stream": True})
    await opened.clock.advance(5)

    during = await scrape(opened)
    await reader.task
    after = await scrape(opened)

    stream = await opened.relay.stream("one")
    assert 0 == during["streamkeep_entries_total"]
    assert 1 == after["streamkeep_streams_finished_total completed -"]
    assert (7, stream.head.seq) == (after["streamkeep_output_tokens_total"], after["streamkeep_entries_total"])
    assert (2, 11) == (after["streamkeep_ttft_seconds_sum"], after["streamkeep_stream_duration_seconds_sum"])
    assert (0, 1) == (after["streamkeep_ttft_seconds_bucket 1.5"], after["streamkeep_ttft_seconds_bucket 2.0"])
    assert (1, 0) == (
        after["streamkeep_upstream_attempts_total start"],
        after["streamkeep_upstream_attempts_total retry"],
    )


async def test_a_failure_is_counted_under_its_code(hall: Maker) -> None:
    """An attempt after the first is a retry; what never showed anything has no time to its first token."""
    opened = await hall(Script([OPENING + overloaded()]))
    await opened.ask("POST", "/v1/streams", {"prompt": "x", "stream": True, "policy": {"retries": 2}})

    found = await scrape(opened)

    assert 1 == found["streamkeep_streams_finished_total failed upstream_overloaded"]
    assert (1, 2) == (
        found["streamkeep_upstream_attempts_total start"],
        found["streamkeep_upstream_attempts_total retry"],
    )
    assert (0, 1) == (found["streamkeep_ttft_seconds_count"], found["streamkeep_stream_duration_seconds_count"])


async def test_a_stop_is_timed(hall: Maker) -> None:
    """From its request until the upstream was closed (I14)."""
    opened = await hall(HANGING)
    await opened.ask("POST", "/v1/streams", {"id": "one", "prompt": "x"})
    await opened.clock.advance(1)
    await opened.ask("POST", "/v1/streams/one/cancel")

    found = await scrape(opened)

    assert 1 == found["streamkeep_streams_finished_total cancelled -"]
    assert (1, 1) == (found["streamkeep_stop_seconds_count"], found["streamkeep_stop_seconds_bucket 0.01"])


async def test_nothing_in_the_figures_tells_one_stream_from_another(hall: Maker) -> None:
    """No id, model, prompt or key: as many series after many streams as after one."""
    opened = await hall(whole("secret answer"), api_keys=["secret-key"])
    key = {"x-api-key": "secret-key"}
    sizes = []
    for number in range(3):
        body = {"id": f"secret-{number}", "prompt": "secret prompt", "model": f"secret-{number}", "stream": True}
        await opened.ask("POST", "/v1/streams", body, headers=key)
        shown = await opened.ask("GET", "/metrics", headers=key)
        assert b"secret" not in shown.body
        sizes.append(len([line for line in shown.body.splitlines() if not line.startswith(b"#")]))

    assert 1 == len(set(sizes))


async def test_the_figures_need_a_key_where_streams_do(hall: Maker) -> None:
    """They tell how much goes on, which is not everybody's business."""
    opened = await hall(whole("a"), api_keys=["one"])

    without = await opened.ask("GET", "/metrics")
    with_key = await opened.ask("GET", "/metrics", headers={"authorization": "Bearer one"})

    assert (401, 200) == (without.status, with_key.status)


async def test_two_applications_in_one_process_keep_figures_of_their_own(hall: Maker) -> None:
    """Nothing is registered for the whole process."""
    first, second = await hall(whole("a")), await hall(whole("a"))
    create_app(first.relay, Settings(store="memory://"))
    await first.ask("POST", "/v1/streams", {"prompt": "x", "stream": True})

    ones, others = await scrape(first), await scrape(second)

    assert 1 == ones["streamkeep_streams_finished_total completed -"]
    assert "streamkeep_streams_finished_total completed -" not in others


async def test_the_form_is_the_one_that_is_asked_for(hall: Maker) -> None:
    """Prometheus's own text, or OpenMetrics where the caller takes that."""
    opened = await hall(whole("a"))

    plain = await opened.ask("GET", "/metrics")
    open_metrics = await opened.ask("GET", "/metrics", headers={"accept": "application/openmetrics-text"})

    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=")
    assert open_metrics.body.endswith(b"# EOF\n")


def ended(state: State, **data: Any) -> Head:
    """Make the head of an ended stream."""
    record = Record(id="one", created_at=0, provider="p", model="m", fingerprint="f")
    return Head(record=record, seq=2, state=state, epochs=((1, "a"),), ended_at=1, ending=msgspec.json.encode(data))


async def test_figures_that_cannot_be_meant_do_no_harm(hall: Maker) -> None:
    """A count in an upstream's words may be anything; times by two clocks may be below zero."""
    opened = await hall(whole("a"))
    figures = metrics.Figures(Service(opened.relay, opened.settings))
    timing = {"ttft_ms": None, "duration_ms": -5.0}
    for tokens in (None, "many", -3, 10**30, 2.5):
        figures.count(ended(State.COMPLETED, usage={"output_tokens": tokens}, timing=timing))

    assert metrics.MAX_STREAM_TOKENS == figures.registry.get_sample_value("streamkeep_output_tokens_total")
    assert 5 == figures.registry.get_sample_value("streamkeep_stream_duration_seconds_bucket", {"le": "0.5"})
    assert 0 == figures.registry.get_sample_value("streamkeep_stream_duration_seconds_sum")


async def test_no_provider_can_make_series_without_end(hall: Maker) -> None:
    """I10: codes beyond the first `MAX_CODES` share one."""
    opened = await hall(whole("a"))
    figures = metrics.Figures(Service(opened.relay, opened.settings))
    for number in range(metrics.MAX_CODES + 5):
        figures.count(ended(State.FAILED, error={"code": f"code_{number}"}))

    name = "streamkeep_streams_finished_total"
    assert 5 == figures.registry.get_sample_value(name, {"state": "failed", "code": metrics.OTHER_CODE})
    assert 1 == figures.registry.get_sample_value(name, {"state": "failed", "code": "code_0"})
