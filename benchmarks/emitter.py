"""
Play a model's API that costs next to nothing: the Messages API's stream, one write for each delta.

    python -m benchmarks.emitter 18080

Strategy
    One thread on epoll with bytes prepared beforehand. What to send is in the model's name, which every relay passes
    on: `bench?deltas=200&delay_us=20000&ttft_us=0&hold_us=0`. Each delta's text begins with `~t<19 digits>~`, the
    monotonic clock in nanoseconds at the write. After a socket was full, deltas bear the time at which they were due:
    a relay that stops reading cannot hide its lag.
"""

import heapq
import re
import select
import signal
import socket
import sys
import time
from itertools import count
from typing import Any, NamedTuple

import msgspec

from benchmarks.stamps import SIZE, stamp

BACKLOG = 4096
"""Connections that may wait to be accepted: a relay without a pool opens all of them at once."""

MAX_REQUEST = 1 << 20
"""Bytes of a request that are kept; benchmarks send some hundred."""

BURST = 64
"""Deltas written in a row for one stream that has no delay, before the others have their turn."""

PLAN = re.compile(rb"bench\?deltas=(\d+)&delay_us=(\d+)&ttft_us=(\d+)&hold_us=(\d+)")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def model(deltas: int, delay_us: int, ttft_us: int = 0, hold_us: int = 0) -> str:
    """
    Name the model that streams so.

    Args:
        deltas: Text deltas.
        delay_us: Between two of them, in microseconds; 0 as fast as possible.
        ttft_us: Before the first, in microseconds.
        hold_us: Between the last and the end of the message, in microseconds.
    """
    return f"bench?deltas={deltas}&delay_us={delay_us}&ttft_us={ttft_us}&hold_us={hold_us}"


def chunk(body: bytes) -> bytes:
    """Frame a body as one chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(name: str, **members: Any) -> bytes:
    """Write an event as the Messages API does."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **members}))


USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
MESSAGE: dict[str, Any] = {
    "id": "msg_bench",
    "type": "message",
    "role": "assistant",
    "model": "bench",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": USAGE,
}
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"request-id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(event("message_start", message=MESSAGE))
    + chunk(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    + chunk(event("ping"))
)
"""What precedes the first delta."""

TAIL = (
    chunk(event("content_block_stop", index=0))
    + chunk(event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=USAGE))
    + chunk(event("message_stop"))
    + b"0\r\n\r\n"
)
"""What follows the last delta."""

_TEXT = {"type": "text_delta", "text": f"{'~' * SIZE} the quick fox"}
BEFORE, _, AFTER = chunk(event("content_block_delta", index=0, delta=_TEXT)).partition(b"~" * SIZE)
"""What stands around a delta's stamp."""

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Plan(NamedTuple):
    """What one request asked for; times in nanoseconds."""

    deltas: int
    delay: int
    ttft: int
    hold: int


class Connection:
    """One connection of a relay: requests come in, deltas go out."""

    __slots__ = ("due", "held", "left", "plan", "received", "sock", "stalled", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.unsent = b""
        self.plan: Plan | None = None
        self.left = 0
        self.due = 0
        self.held = False
        self.stalled = False


class Emitter:
    """The server: `run` until told to stop."""

    def __init__(self, port: int) -> None:
        self._poller = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._poller.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection]] = []
        self._ticket = count()
        self._going = True

    def stop(self, *_: Any) -> None:
        """End `run` soon."""
        self._going = False

    def run(self) -> None:
        """Serve."""
        poller, connections, due = self._poller, self._connections, self._due
        clock, ready = time.monotonic_ns, [poller]
        while self._going:
            # epoll waits in whole milliseconds, which would make batches of what should come one by one.
            wait = max(0, due[0][0] - clock()) / 1e9 if due else 0.2
            select.select(ready, (), (), wait)
            for fd, mask in poller.poll(0):
                connection = connections.get(fd)
                if connection is None:
                    self._accept()
                elif mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                    self._receive(connection)
                else:
                    self._resume(connection)
            now = clock()
            while due and due[0][0] <= now:
                self._emit(heapq.heappop(due)[2])

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(sock)
            self._poller.register(sock, select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.received += data
        if not data or len(connection.received) > MAX_REQUEST:
            self._close(connection)
        elif connection.plan is None:
            self._take_request(connection)

    def _close(self, connection: Connection) -> None:
        self._connections.pop(connection.sock.fileno(), None)
        connection.sock.close()
        connection.plan = None

    def _take_request(self, connection: Connection) -> None:
        head, separator, rest = connection.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not separator or len(rest) < size:
            return
        connection.received = rest[size:]
        found = PLAN.search(rest[:size])
        if found is None:
            self._write(connection, NOT_FOUND)
            return
        deltas, delay, ttft, hold = map(int, found.groups())
        connection.plan = Plan(deltas, delay * 1000, ttft * 1000, hold * 1000)
        connection.left, connection.held, connection.stalled = deltas, False, False
        connection.due = time.monotonic_ns() + connection.plan.ttft
        if self._write(connection, HEAD):
            self._schedule(connection)

    def _schedule(self, connection: Connection) -> None:
        heapq.heappush(self._due, (connection.due, next(self._ticket), connection))

    def _emit(self, connection: Connection) -> None:
        plan = connection.plan
        if plan is None:
            return
        if not connection.left:
            self._finish(connection, plan)
            return
        for _ in range(1 if plan.delay else min(BURST, connection.left)):
            if not self._write(connection, BEFORE + stamp(self._time(connection, plan)) + AFTER):
                return
        self._schedule(connection)

    def _time(self, connection: Connection, plan: Plan) -> int:
        """Give the next delta's time, and set when the one after it is due."""
        now, due = time.monotonic_ns(), connection.due
        connection.left -= 1
        connection.due = due + plan.delay if plan.delay else now
        if connection.stalled and plan.delay:
            connection.stalled = connection.due < now
            return due
        return now

    def _finish(self, connection: Connection, plan: Plan) -> None:
        if plan.hold and not connection.held:
            connection.held = True
            connection.due = time.monotonic_ns() + plan.hold
            self._schedule(connection)
            return
        connection.plan = None
        self._write(connection, TAIL)
        if connection.received:
            self._take_request(connection)

    def _write(self, connection: Connection, data: bytes) -> bool:
        """Say whether all of it went out; the rest goes when there is room."""
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return False
        if sent == len(data):
            return True
        connection.unsent = data[sent:]
        connection.stalled = True
        self._poller.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)
        return False

    def _resume(self, connection: Connection) -> None:
        data, connection.unsent = connection.unsent, b""
        if self._write(connection, data):
            self._poller.modify(connection.sock, select.EPOLLIN)
            if connection.plan is not None:
                self._schedule(connection)


def main(port: int) -> None:
    """Serve until SIGTERM."""
    emitter = Emitter(port)
    signal.signal(signal.SIGTERM, emitter.stop)
    emitter.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
