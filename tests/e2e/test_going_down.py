"""The way down: a signal, a drain, and no reader who is left to believe that a piece was the whole (I12)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import anthropic
import pytest

from tests.e2e.conftest import Serve
from tests.e2e.processes import ServerProcess, until
from tests.e2e.reading import Body, reading
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

DRAIN_S = 1.5
"""Seconds that running answers may go on."""

AFTERWARDS_S = 5.0
"""Seconds for endings to be read, cut readers to go and the process to end."""

ENDLESS = "simulated-1?ttft_s=0&tokens_per_s=20"
SHORT = "simulated-1?ttft_s=0&tokens_per_s=30"


class Watcher:
    """Reads a stream to whatever end, on a thread of its own."""

    def __init__(self, server: ServerProcess, id: str, query: str = "") -> None:
        self.body: Body | None = None
        self._server = server
        self._path = f"/v1/streams/{id}/events{query}"
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with reading(self._server.url, self._path) as open_reading:
            self.body = open_reading.until_end()

    def end(self) -> Body:
        """Wait for the end; give all that came."""
        self._thread.join(20)
        assert self.body is not None, "the reader was left hanging"
        return self.body


@contextmanager
def running(serve: Serve, simulator: SimulatorThread, drain_s: float) -> Iterator[tuple[ServerProcess, str, str]]:
    """Give a server with an endless stream and one that ends within the drain; both have begun."""
    with serve("--drain", str(drain_s), upstream=simulator.base_url) as server:
        endless = server.begin(ENDLESS, "count to 5000", max_tokens=20_000)
        short = server.begin(SHORT, "count to 15")
        for id in (endless, short):
            with reading(server.url, f"/v1/streams/{id}/events") as reader:
                reader.until_frame(5)
        yield server, endless, short


def test_a_drain_lets_answers_finish_and_tells_the_others(serve: Serve, simulator: SimulatorThread) -> None:
    """I12, I3: not ready at once, nothing new; who finishes in time is whole, who does not is told; exit code 0."""
    with running(serve, simulator, DRAIN_S) as (server, endless, short):
        watchers = {id: Watcher(server, id) for id in (endless, short)}
        text = Watcher(server, endless, "?wire=text")
        until(lambda: server.readers() == 3, 5)
        asked_at = time.monotonic()
        server.terminate()
        not_ready_s = until(lambda: not server.ready(), 1)
        refused = [
            server.call("POST", "/v1/streams", {"prompt": "Hi"}),
            server.call("POST", "/v1/messages", {"model": "m", "max_tokens": 9, "messages": [{}], "stream": True}),
        ]
        still_read = server.call("GET", f"/v1/streams/{endless}")
        code = server.wait(DRAIN_S + AFTERWARDS_S)
        took_s = time.monotonic() - asked_at
        whole, told, partial = watchers[short].end(), watchers[endless].end(), text.end()
        requests = simulator.statistics().requests
        server.start()
        states = [server.show(id) for id in (short, endless)]

    assert not_ready_s < 0.5
    assert [(503, "shutting_down")] * 2 == [(each.status, each.code) for each in refused]
    assert all(each.headers["retry-after"] for each in refused)
    assert (200, "open") == (still_read.status, still_read.json["state"])
    assert ("stream.completed", True) == (whole.frames[-1].name, whole.clean)
    assert ("stream.failed", True) == (told.frames[-1].name, told.clean)
    assert b"server_shutdown" in told.frames[-1].data
    assert not partial.clean, "the text wire has no word for failure"
    assert 0 == code, server.log
    assert DRAIN_S - 0.1 < took_s < DRAIN_S + AFTERWARDS_S
    assert ["completed", "failed"] == [each["state"] for each in states]
    assert "server_shutdown" == states[1]["error"]["code"]
    assert requests == simulator.statistics().requests
    assert "Traceback" not in server.log


def test_an_sdk_does_not_take_a_drained_answer_for_a_whole_one(serve: Serve, simulator: SimulatorThread) -> None:
    """I12: an official SDK that reads while the server goes down raises; it never returns the piece as the message."""
    outcome: list[Any] = []

    def ask(server: ServerProcess) -> None:
        question: Any = [{"role": "user", "content": "count to 5000"}]
        with anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0, timeout=20) as client:
            try:
                with client.messages.stream(model=ENDLESS, max_tokens=20_000, messages=question) as stream:
                    outcome.append(stream.get_final_message())
            except anthropic.APIError as error:
                outcome.append(error)

    with serve("--drain", "0.3", upstream=simulator.base_url) as server:
        thread = Thread(target=ask, args=(server,))
        thread.start()
        until(lambda: server.readers() == 1, 5)
        server.terminate()
        thread.join(10)
        code = server.wait(AFTERWARDS_S)

    assert isinstance(outcome[0], anthropic.APIError)
    assert "went down" in outcome[0].message
    assert 0 == code


def test_a_second_signal_ends_what_runs(serve: Serve, simulator: SimulatorThread) -> None:
    """I12: who does not want to wait for the drain signals twice; running streams end, and their readers are told."""
    with running(serve, simulator, 30) as (server, endless, _):
        watcher = Watcher(server, endless)
        until(lambda: server.readers() == 1, 5)
        server.terminate()
        until(lambda: not server.ready(), 1)
        asked_at = time.monotonic()
        server.terminate()
        code = server.wait(AFTERWARDS_S)
        took_s = time.monotonic() - asked_at
        body = watcher.end()
        server.start()
        shown = server.show(endless)

    assert took_s < 3
    assert ("stream.failed", True) == (body.frames[-1].name, body.clean)
    assert "server_shutdown" == shown["error"]["code"]
    assert 0 == code
    assert "Traceback" not in server.log


def test_a_third_signal_waits_for_nothing(serve: Serve, simulator: SimulatorThread) -> None:
    """I3, I12: what is dropped at once has its ending when the server starts again, and its reader saw a cut."""
    with serve("--drain", "30", upstream=simulator.base_url) as server:
        id = server.begin("simulated-1?ttft_s=0&tokens_per_s=0", "count to 10000", max_tokens=30_000)
        server.ended(id)
        with reading(server.url, f"/v1/streams/{id}/events") as reader:
            reader.more(1)
            asked_at = time.monotonic()
            for _ in range(3):
                server.terminate()
                time.sleep(0.05)
            server.wait(AFTERWARDS_S)
            took_s = time.monotonic() - asked_at
            body = reader.until_end()

    assert took_s < 2
    assert not body.clean


def test_a_reader_that_takes_nothing_does_not_hold_it_up(serve: Serve, simulator: SimulatorThread) -> None:
    """I10: the way down is bounded whatever readers do; each of them is cut in the end."""
    with serve("--drain", "0.2", "--send-timeout", "60", upstream=simulator.base_url) as server:
        id = server.begin("simulated-1?ttft_s=0&tokens_per_s=0", "count to 10000", max_tokens=30_000)
        server.ended(id)
        with reading(server.url, f"/v1/streams/{id}/events") as reader:
            reader.more(1)
            time.sleep(0.2)
            asked_at = time.monotonic()
            server.terminate()
            code = server.wait(AFTERWARDS_S + 2)
            took_s = time.monotonic() - asked_at
            body = reader.until_end()

    assert 0 == code, server.log
    assert took_s < AFTERWARDS_S
    assert not body.clean
    assert "Traceback" not in server.log


def test_an_idle_server_goes_at_once(serve: Serve, simulator: SimulatorThread) -> None:
    """Where nothing runs there is nothing to wait for; what is on disk is whole."""
    with serve(upstream=simulator.base_url) as server:
        id = server.begin("simulated-1?ttft_s=0&tokens_per_s=0")
        server.ended(id)
        asked_at = time.monotonic()
        server.terminate()
        code = server.wait(AFTERWARDS_S)
        took_s = time.monotonic() - asked_at
        left = sorted(each.name for each in server.store.parent.glob("streams.db*"))

    assert (0, True) == (code, took_s < 1.5), took_s
    assert "streams.db-wal" not in left


def test_a_caller_who_waits_is_answered(serve: Serve, simulator: SimulatorThread) -> None:
    """I11: who waits for a message without streaming gets a status when the server goes down, not a cut."""
    answers: list[Any] = []
    with running(serve, simulator, 0.3) as (server, endless, _):
        thread = Thread(target=lambda: answers.append(server.call("GET", f"/v1/streams/{endless}/message?wait=20")))
        thread.start()
        time.sleep(0.2)
        server.terminate()
        thread.join(10)
        code = server.wait(AFTERWARDS_S)

    assert 0 == code
    assert (500, "server_shutdown") == (answers[0].status, answers[0].code)
    assert answers[0].json["message"]["content"][0]["text"].startswith("1, 2")
