"""
Stop at every moment of a stream's life: one ending, a receipt, nothing after the seal, and an upstream that is let go.

What "let go" means is asked on the upstream's side: when did the simulated provider see its client disconnect?
"""

import json
import os
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import pytest

from tests.e2e.conftest import Measured, Serve
from tests.e2e.processes import Answer, ServerProcess, until
from tests.e2e.reading import Frame, read, reading
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

SEED = int(os.environ.get("STREAMKEEP_TEST_SEED", "20261120"))
"""Where every random choice of this file comes from."""

CLOSE_S = 1.0
"""Seconds in which a stop must have closed the connection to the upstream."""

RACES = 150
"""Stops aimed at the moment when a stream ends by itself."""

ENDINGS = {"stream.completed", "stream.failed", "stream.cancelled"}
LONG = "count to 2000"
"""An answer that no test waits for, and that the simulator still remembers: a longer one is made anew each time."""


def stop(server: ServerProcess, id: str) -> Answer:
    return server.call("POST", f"/v1/streams/{id}/cancel")


def log_of(server: ServerProcess, id: str) -> list[Frame]:
    body = read(server.url, f"/v1/streams/{id}/events")
    assert body.clean
    return body.frames


def expect_one_ending(log: list[Frame], name: str) -> dict[str, Any]:
    """Give the ending's data; it is the log's only one, and its last entry."""
    assert [name] == [frame.name for frame in log if frame.name in ENDINGS]
    assert name == log[-1].name
    return dict(json.loads(log[-1].data))


def expect_receipt(answer: Answer, id: str) -> dict[str, Any]:
    """Give a stop's receipt; it says that the stream is sealed, and how fast the upstream was let go."""
    receipt = answer.json
    assert (200, id, "cancelled") == (answer.status, receipt["id"], receipt["state"])
    assert receipt["sealed_at"] == receipt["ended_at"] is not None
    return dict(receipt)


def begin(server: ServerProcess, simulator: SimulatorThread, model: str) -> tuple[str, int]:
    """Start a stream; give its id and the number of its request at the provider, which has come in."""
    before = simulator.statistics().requests
    id = server.begin(model, LONG, max_tokens=10_000)
    return id, simulator.wait_for(lambda each: each.number == before + 1).number


def closed_after_s(simulator: SimulatorThread, number: int, asked_at: float) -> float:
    """Give how many seconds after the stop the provider saw its client go."""
    record = simulator.wait_for(lambda each: each.number == number and each.ended is not None, 5)
    assert "disconnected" == record.outcome
    assert record.ended is not None
    return record.ended - asked_at


@contextmanager
def silent_upstream() -> Iterator[tuple[str, list[socket.socket]]]:
    """Accept connections and never say a word; give the base URL and what was accepted."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", accepted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for each in (listener, *accepted):
            each.close()


# ---------------------------------------------------------------------------------------------------------------------
# When


def test_before_the_start(server: ServerProcess, simulator: SimulatorThread) -> None:
    """I14: a stop that overtakes its start is remembered (202) and wins: nothing is asked of the provider."""
    before = simulator.statistics().requests
    early = stop(server, "overtaken-1")
    started = server.call("POST", "/v1/streams", {"id": "overtaken-1", "model": "simulated-1", "prompt": "Hi"})
    shown = server.ended("overtaken-1")
    log = log_of(server, "overtaken-1")

    assert (202, "cancelling") == (early.status, early.json["state"])
    assert 201 == started.status
    assert "cancelled" == shown["state"]
    assert ["stream.accepted", "stream.cancel_requested", "stream.cancelled"] == [frame.name for frame in log]
    assert before == simulator.statistics().requests


def test_while_the_upstream_does_not_answer(serve: Serve) -> None:
    """I14: also while the connection is made and no header has come, a stop closes it at once."""
    with silent_upstream() as (url, accepted):
        server = serve(upstream=url)
        id = server.begin("any", LONG)
        until(lambda: len(accepted) == 1, 5)
        asked_at = time.monotonic()
        receipt = expect_receipt(stop(server, id), id)
        accepted[0].settimeout(CLOSE_S)
        while accepted[0].recv(65536):
            pass
        closed_s = time.monotonic() - asked_at

    assert closed_s < CLOSE_S
    assert receipt["upstream_closed_ms"] < CLOSE_S * 1000
    assert expect_one_ending(log_of(server, id), "stream.cancelled")


@pytest.mark.parametrize(
    "model",
    [
        "simulated-1?ttft_s=30",
        "simulated-1?ttft_s=0&tokens_per_s=50",
        "simulated-1?ttft_s=0&tokens_per_s=0&refuse=stall-after:20",
        "simulated-1?ttft_s=0&tokens_per_s=0&refuse=stall-pings-after:20",
    ],
    ids=["before-the-first-token", "between-tokens", "stalled", "pings-only"],
)
def test_while_it_runs(server: ServerProcess, simulator: SimulatorThread, model: str) -> None:
    """I14: a stop closes the upstream within a second, seals with what there is, and says so in its receipt."""
    id, number = begin(server, simulator, model)
    with reading(server.url, f"/v1/streams/{id}/events") as reader:
        shown = reader.until_frame(2 if "ttft_s=30" in model else 10)
        asked_at = time.monotonic()
        receipt = expect_receipt(stop(server, id), id)
        closed_s = closed_after_s(simulator, number, asked_at)
        seen = reader.until_end()

    ending = expect_one_ending(seen.frames, "stream.cancelled")
    assert seen.clean
    assert closed_s < CLOSE_S
    assert receipt["upstream_closed_ms"] == ending["cancel"]["upstream_closed_ms"] < CLOSE_S * 1000
    assert "caller" == ending["cancel"]["by"]
    assert "stream.cancel_requested" in [frame.name for frame in seen.frames[len(shown) :]]
    assert seen.frames == log_of(server, id)


def test_while_it_waits_to_ask_again(server: ServerProcess, simulator: SimulatorThread) -> None:
    """I14: a stop in the pause between two attempts ends the pause; no further attempt is made."""
    id, number = begin(server, simulator, "simulated-1?refuse=429&retry_after=20")
    simulator.wait_for(lambda each: each.number == number and each.ended is not None)
    asked_at = time.monotonic()
    expect_receipt(stop(server, id), id)

    assert time.monotonic() - asked_at < CLOSE_S
    assert number == simulator.statistics().requests


def test_after_the_end(server: ServerProcess) -> None:
    """I14, I3: a stop that comes too late changes nothing, and answers 200 with the ending that there is."""
    id = server.begin("simulated-1?ttft_s=0&tokens_per_s=0", "count to 5")
    server.ended(id)
    before = log_of(server, id)
    answer = stop(server, id)

    assert (200, "completed", None) == (answer.status, answer.json["state"], answer.json["upstream_closed_ms"])
    assert answer.json["sealed_at"]
    assert before == log_of(server, id)


def test_twenty_at_once(server: ServerProcess, simulator: SimulatorThread) -> None:
    """I14: stops are idempotent: twenty at the same time get the same receipt, and one request is logged."""
    id, _ = begin(server, simulator, "simulated-1?ttft_s=0&tokens_per_s=100")
    with reading(server.url, f"/v1/streams/{id}/events") as reader:
        reader.until_frame(10)
    with ThreadPoolExecutor(20) as pool:
        receipts = [expect_receipt(each, id) for each in pool.map(lambda _: stop(server, id), range(20))]

    log = log_of(server, id)
    expect_one_ending(log, "stream.cancelled")
    assert all(receipts[0] == each for each in receipts)
    assert 1 == [frame.name for frame in log].count("stream.cancel_requested")


def test_the_message_so_far_is_kept(server: ServerProcess, simulator: SimulatorThread) -> None:
    """I14: what came before the stop is there as a message, and the digest in the ending is its digest."""
    id, _ = begin(server, simulator, "simulated-1?ttft_s=0&tokens_per_s=200")
    with reading(server.url, f"/v1/streams/{id}/events") as reader:
        reader.until_frame(50)
    stop(server, id)
    answer = server.call("GET", f"/v1/streams/{id}/message")
    shown = server.show(id)

    text = answer.json["content"][0]["text"]
    assert (200, "cancelled") == (answer.status, answer.headers["x-stream-state"])
    assert text.startswith("1, 2, 3")
    assert len(text.encode()) == shown["digest"]["blocks"][0]["bytes"]
    assert shown["usage"]["output_tokens"] > 10


# ---------------------------------------------------------------------------------------------------------------------
# Races


def test_a_stop_races_the_end(server: ServerProcess, measured: Measured) -> None:
    """I3, I14: stops at random offsets around the end: exactly one ending, and every answer tells that very one."""
    random = Random(SEED)
    model, took_s = "simulated-1?ttft_s=0.05&tokens_per_s=400", 0.12

    def race(delay_s: float) -> str:
        id = server.begin(model, "count to 14")
        time.sleep(delay_s)
        answer = stop(server, id)
        log = log_of(server, id)
        state = str(answer.json["state"])
        ending = expect_one_ending(log, f"stream.{state}")
        assert 200 == answer.status
        assert ("cancel" in ending) == (state == "cancelled")
        names = [frame.name for frame in log]
        assert ("message_stop" in names) <= (state == "completed"), names
        return state

    with ThreadPoolExecutor(8) as pool:
        delays = [random.uniform(0, 2 * took_s) for _ in range(RACES)]
        endings = Counter(pool.map(race, delays))

    measured(f"seed {SEED}: {RACES} races, {dict(endings)}")
    assert {"completed", "cancelled"} == set(endings)


def test_a_start_races_its_stop(server: ServerProcess) -> None:
    """I14, I13: start and stop sent at the same time: whichever comes first, the stream ends as stopped, once."""

    def race(nth: int) -> None:
        id = f"raced-{nth}"
        body = {"id": id, "model": "simulated-1?ttft_s=0&tokens_per_s=50", "prompt": LONG}
        with ThreadPoolExecutor(2) as pair:
            started = pair.submit(server.call, "POST", "/v1/streams", body)
            stopped = pair.submit(stop, server, id)
        assert started.result().status == 201
        assert stopped.result().status in (200, 202)
        server.ended(id, timeout_s=5)
        expect_one_ending(log_of(server, id), "stream.cancelled")

    for nth in range(40):
        race(nth)


def _median_and_most(seconds: list[float]) -> str:
    return f"p50 {statistics.median(seconds) * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms"


def test_how_fast_the_upstream_is_let_go(server: ServerProcess, simulator: SimulatorThread, measured: Measured) -> None:
    """I14: of forty stops under load the slowest has closed its upstream within a second, by the upstream's clock."""
    background = [server.begin("simulated-1?ttft_s=0&tokens_per_s=50", LONG, max_tokens=10_000) for _ in range(20)]
    until(
        lambda: simulator.statistics().streams_open == len(background),
        15,
        explain=lambda: [simulator.statistics(), *[server.show(id) for id in background]],
    )
    latencies, receipts = [], []
    for _ in range(40):
        id, number = begin(server, simulator, "simulated-1?ttft_s=0&tokens_per_s=100")
        with reading(server.url, f"/v1/streams/{id}/events") as reader:
            reader.until_frame(6)
        asked_at = time.monotonic()
        answer = stop(server, id)
        receipts.append(time.monotonic() - asked_at)
        assert "cancelled" == answer.json["state"]
        latencies.append(closed_after_s(simulator, number, asked_at))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda id: stop(server, id), background))

    measured(f"stop to upstream closed: {_median_and_most(latencies)}; stop to receipt: {_median_and_most(receipts)}")
    assert max(latencies) < CLOSE_S
    until(lambda: simulator.statistics().streams_open == 0, 5)
