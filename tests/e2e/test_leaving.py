"""Readers that leave, stall or only look stop no stream, hold none up and keep none going for nobody (I6)."""

import json
import socket
import time
from contextlib import ExitStack

import anthropic
import pytest

from tests.e2e.conftest import Measured, Serve
from tests.e2e.processes import ServerProcess, until
from tests.e2e.reading import events, in_threads, read, reading
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

AT_ONCE = "simulated-1?ttft_s=0&tokens_per_s=0"
SLOW = "simulated-1?ttft_s=0.1&tokens_per_s=50"


@pytest.fixture(scope="module")
def impatient(serve: Serve, simulator: SimulatorThread) -> ServerProcess:
    """Give a server that waits for nobody."""
    return serve("--send-timeout", "2", "--unwatched-grace", "1", upstream=simulator.base_url)


def never_reading(server: ServerProcess, path: str) -> socket.socket:
    """Ask for a body and do not take it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    return connection


def drained(connection: socket.socket) -> bytes:
    """Read what was on its way, to the end or the reset."""
    taken = bytearray()
    try:
        while piece := connection.recv(65536):
            taken += piece
    except ConnectionError:
        pass
    return bytes(taken)


def test_a_reader_that_takes_nothing_is_cut(impatient: ServerProcess, measured: Measured) -> None:
    """I4, I10: who reads nothing for `send_timeout` is cut off uncleanly; who reads beside it is not disturbed."""
    long = impatient.begin(AT_ONCE, "count to 10000", max_tokens=30_000)
    impatient.ended(long)
    live = impatient.begin("simulated-1?ttft_s=0&tokens_per_s=100", "count to 200")
    with ExitStack() as open_connections:
        stalled = [open_connections.enter_context(never_reading(impatient, events(long))) for _ in range(5)]
        until(lambda: impatient.readers() >= 5, 5)
        began = time.monotonic()
        steady = in_threads(lambda: read(impatient.url, events(live)))[0]
        until(lambda: impatient.readers() == 0, 10)
        took_s = time.monotonic() - began
        bodies = [drained(each) for each in stalled]

    measured(f"five stalled readers were gone after {took_s:.1f} s at the latest")
    assert steady.clean
    assert "stream.completed" == steady.frames[-1].name
    assert all(not body.endswith(b"0\r\n\r\n") for body in bodies)


def test_a_half_closed_reader_is_noticed(impatient: ServerProcess) -> None:
    """I6: a reader that closed its side is counted no more, and the stream goes on to its end."""
    id = impatient.begin(SLOW, "count to 60")
    with never_reading(impatient, events(id)) as connection:
        until(lambda: impatient.readers() == 1, 5)
        connection.shutdown(socket.SHUT_WR)
        took_s = until(lambda: impatient.readers() == 0, 5)

    assert took_s < 1
    assert "completed" == impatient.ended(id)["state"]


def test_leaving_is_not_stopping(impatient: ServerProcess, simulator: SimulatorThread) -> None:
    """I6: when the last reader of a native stream has left, the model goes on to the end all the same."""
    id = impatient.begin(SLOW, "count to 60")
    with reading(impatient.url, events(id)) as open_reading:
        open_reading.until_frame(6)
    shown = impatient.ended(id)

    assert "completed" == shown["state"]
    assert shown["message"]["content"][0]["text"].endswith("60")
    assert "finished" == simulator.requests[-1].outcome


def test_a_vendors_stream_stops_when_nobody_watches(impatient: ServerProcess, simulator: SimulatorThread) -> None:
    """I6: one begun by an SDK stops `unwatched_grace` after its reader left, and nobody pays for the rest."""
    with (
        anthropic.Anthropic(base_url=impatient.url, api_key="any", max_retries=0) as client,
        client.messages.stream(
            model=SLOW, max_tokens=4000, messages=[{"role": "user", "content": "count to 2000"}]
        ) as stream,
    ):
        id = stream.response.headers["x-stream-id"]
        for _ in zip(range(10), stream, strict=False):
            pass
    left_at = time.monotonic()
    number = simulator.requests[-1].number
    request = simulator.wait_for(lambda each: each.number == number and each.ended is not None)

    assert "cancelled" == impatient.ended(id)["state"]
    assert "disconnected" == request.outcome
    assert request.ended is not None
    assert 0.9 < request.ended - left_at < 3


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_a_caller_who_leaves_before_the_first_token(
    impatient: ServerProcess, simulator: SimulatorThread, streamed: bool
) -> None:
    """I6: who leaves while nothing has come, streaming or not, is noticed too: the model is stopped after the grace."""
    body = json.dumps(
        {
            "model": "simulated-1?ttft_s=30",
            "max_tokens": 99,
            "stream": streamed,
            "messages": [{"role": "user", "content": "count to 20"}],
        }
    ).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    number = simulator.statistics().requests + 1
    with socket.create_connection(("127.0.0.1", impatient.port), 10) as connection:
        connection.sendall(head.encode() + body)
        simulator.wait_for(lambda each: each.number == number)
    left_at = time.monotonic()
    request = simulator.wait_for(lambda each: each.number == number and each.ended is not None)

    assert "disconnected" == request.outcome
    assert request.ended is not None
    assert 0.9 < request.ended - left_at < 3
    assert 0 == impatient.readers()


def test_looking_at_a_stream_is_not_watching_it(impatient: ServerProcess, simulator: SimulatorThread) -> None:
    """I6: a page that asks every moment how a stream is doing does not keep it going for nobody."""
    with (
        anthropic.Anthropic(base_url=impatient.url, api_key="any", max_retries=0) as client,
        client.messages.stream(
            model=SLOW, max_tokens=4000, messages=[{"role": "user", "content": "count to 2000"}]
        ) as stream,
    ):
        id = stream.response.headers["x-stream-id"]
    left_at = time.monotonic()
    took_s = until(lambda: impatient.show(id)["state"] == "cancelled", 10)

    assert took_s < 3
    assert time.monotonic() - left_at < 4


def test_a_vendors_stream_goes_on_while_another_device_watches(impatient: ServerProcess) -> None:
    """I6: as long as anybody follows it, on whatever wire, a stream begun by an SDK goes on without its starter."""
    with (
        anthropic.Anthropic(base_url=impatient.url, api_key="any", max_retries=0) as client,
        client.messages.stream(
            model="simulated-1?ttft_s=0.1&tokens_per_s=100",
            max_tokens=4000,
            messages=[{"role": "user", "content": "count to 120"}],
        ) as stream,
    ):
        id = stream.response.headers["x-stream-id"]
        with reading(impatient.url, events(id)) as other:
            stream.close()
            body = other.until_end()

    assert body.clean
    assert "stream.completed" == body.frames[-1].name
