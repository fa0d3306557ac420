"""
Play all clients at once: open the streams, count every delta that comes, and tell how long each was under way.

    python -m benchmarks.reader '{"port": 8000, "path": "/v1/messages", "method": "POST", ...}'

Strategy
    One thread on epoll, HTTP read by httptools, stamps found wherever the relay put them: one reader serves every
    dialect. Prints the line `started` when its clock starts, and at the end one line of JSON (`Outcome`).
"""

import select
import socket
import sys
import time
from array import array

import httptools
import msgspec

from benchmarks.figures import percentile
from benchmarks.stamps import Scanner

BUFFER = 1 << 18
"""Bytes taken from a socket at once."""

ERROR_TEXT = 300
"""Characters kept of the first reply that is not a 200."""


class Order(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to read."""

    port: int
    path: str
    method: str = "POST"
    body: str = ""
    headers: dict[str, str] = {}
    streams: int = 1
    """Requests at the same time."""
    repeat: int = 1
    """Requests one after another in each place, each on a connection of its own."""
    ramp_s: float = 0
    """Seconds over which the streams are started."""
    skip_s: float = 0
    """Deltas of the first so many seconds are not in `measured`."""
    until_s: float = 0
    """Nor those from here on; 0 counts all to the end."""
    expect: int = 1
    """Deltas that make a stream complete."""
    leave: bool = False
    """Hang up once they are there, instead of reading to the end."""
    lag: bool = True
    """Read every stamp; otherwise deltas are only counted."""
    timeout_s: float = 60


class Outcome(msgspec.Struct, kw_only=True):
    """What came. Times are in milliseconds where not said otherwise; percentiles of nothing are 0."""

    wanted: int
    """Requests."""
    completed: int = 0
    """Of these, the ones that were read to the end with every delta."""
    early: int = 0
    """Ended with deltas missing."""
    refused: int = 0
    """Answered with another status, or not at all."""
    unfinished: int = 0
    """Still open when the time was up."""
    deltas: int = 0
    measured: int = 0
    wall_s: float = 0
    ttft_p50: float = 0
    ttft_p99: float = 0
    lag_p50: float = 0
    lag_p99: float = 0
    lag_max: float = 0
    whole_p50: float = 0
    """From the request to the last expected delta."""
    whole_p99: float = 0
    cpu_s: float = 0
    """Of the reader itself."""
    error: str = ""
    """The first reply that was not a 200."""


class Stream:
    """One request under way; httptools calls the `on_` methods."""

    __slots__ = ("_owner", "_stamps", "count", "ended", "error", "parser", "received", "repeats", "sock", "started")

    def __init__(self, owner: "Reader", repeats: int) -> None:
        self._owner = owner
        self._stamps = Scanner()
        self.repeats = repeats
        self.count = 0
        self.ended = False
        self.error = ""
        self.received = 0
        self.started = time.monotonic_ns()
        self.parser = httptools.HttpResponseParser(self)
        self.sock = socket.create_connection(("127.0.0.1", owner.order.port), timeout=5)
        self.sock.sendall(owner.request)
        self.sock.setblocking(False)

    def on_body(self, body: bytes) -> None:
        """Find the deltas."""
        if self.parser.get_status_code() != 200:
            self.error = f"{self.parser.get_status_code()} {body[:ERROR_TEXT].decode('utf-8', 'replace')}"
            return
        found = self._owner.note(self._stamps, body, self.received)
        if found:
            self._count(found)

    def _count(self, found: int) -> None:
        owner, before = self._owner, self.count
        self.count += found
        since_start = (self.received - self.started) // 1000
        if not before:
            owner.ttft_us.append(since_start)
        if before < owner.order.expect <= self.count:
            owner.whole_us.append(since_start)
            self.ended = self.ended or owner.order.leave

    def on_message_complete(self) -> None:
        """Note the end of the reply."""
        self.ended = True


class Reader:
    """All streams of an order: `run` gives the outcome."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.outcome = Outcome(wanted=order.streams * order.repeat)
        self.ttft_us, self.whole_us, self.lag_us = array("Q"), array("Q"), array("Q")
        head = {"Host": "127.0.0.1", "Accept": "text/event-stream", **order.headers}
        if order.body:
            head |= {"Content-Type": "application/json", "Content-Length": str(len(order.body.encode()))}
        lines = [f"{order.method} {order.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        self.request = ("\r\n".join(lines) + "\r\n\r\n" + order.body).encode()
        self._poller = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._measure_from = self._measure_until = 0

    def note(self, stamps: Scanner, body: bytes, now: int) -> int:
        """Count the deltas in a stream's next bytes and note their lag."""
        if self.order.lag:
            times = stamps.times(body)
            for time_ns in times:
                self.lag_us.append(max(0, now - int(time_ns)) // 1000)
            number = len(times)
        else:
            number = stamps.count(body)
        self.outcome.deltas += number
        if self._measure_from <= now < self._measure_until:
            self.outcome.measured += number
        return number

    def run(self) -> Outcome:
        """Read until all streams are through or the time is up."""
        order, base, cpu_before = self.order, time.monotonic_ns(), time.process_time()
        self._measure_from = base + int(order.skip_s * 1e9)
        self._measure_until = base + int((order.until_s or 2 * order.timeout_s) * 1e9)
        deadline, step = base + int(order.timeout_s * 1e9), int(order.ramp_s * 1e9 / order.streams)
        opened = 0
        while opened < order.streams or self._streams:
            now = time.monotonic_ns()
            if now > deadline:
                break
            while opened < order.streams and base + opened * step <= now:
                self._open(order.repeat - 1)
                opened += 1
            for fd, _ in self._poller.poll(0.001 if opened < order.streams else 0.1):
                self._read(self._streams[fd])
        self.outcome.wall_s = (time.monotonic_ns() - base) / 1e9
        self.outcome.cpu_s = time.process_time() - cpu_before
        return self._sum_up()

    def _open(self, repeats: int) -> None:
        try:
            stream = Stream(self, repeats)
        except OSError as error:
            self._refuse(str(error))
            return
        self._streams[stream.sock.fileno()] = stream
        self._poller.register(stream.sock, select.EPOLLIN)

    def _read(self, stream: Stream) -> None:
        try:
            size = stream.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        stream.received = time.monotonic_ns()
        if size:
            stream.parser.feed_data(self._view[:size])
        if stream.ended or not size:
            self._close(stream)

    def _close(self, stream: Stream) -> None:
        del self._streams[stream.sock.fileno()]
        stream.sock.close()
        if stream.error or not stream.received:
            self._refuse(stream.error)
        elif stream.ended and stream.count >= self.order.expect:
            self.outcome.completed += 1
        else:
            self.outcome.early += 1
        if stream.repeats:
            self._open(stream.repeats - 1)

    def _refuse(self, error: str) -> None:
        self.outcome.refused += 1
        self.outcome.error = self.outcome.error or error

    def _sum_up(self) -> Outcome:
        outcome = self.outcome
        outcome.unfinished = len(self._streams)
        for name, values in (("ttft", self.ttft_us), ("lag", self.lag_us), ("whole", self.whole_us)):
            in_order = sorted(values)
            setattr(outcome, f"{name}_p50", percentile(in_order, 0.5) / 1000)
            setattr(outcome, f"{name}_p99", percentile(in_order, 0.99) / 1000)
        outcome.lag_max = max(self.lag_us, default=0) / 1000
        return outcome


def main(order: str) -> None:
    """Read as told and print the outcome."""
    reader = Reader(msgspec.json.decode(order, type=Order))
    sys.stdout.write("started\n")
    sys.stdout.flush()
    sys.stdout.write(msgspec.json.encode(reader.run()).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
