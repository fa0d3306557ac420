"""
One peer under one load.

Strategy
    Emitter, server and reader are three processes; this one waits, and looks at the server's CPU before and after.
    Each scenario begins with a fresh server in a folder of its own and with three short streams that are not counted.
"""

import contextlib
import http.client
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import IO, Any

import msgspec

from benchmarks.load import Load
from benchmarks.peers.base import ROOT, Peer, Place, body, program, python_path
from benchmarks.process import LOAD_CORE, SERVER_CORE, Failed, MemoryWatch, Process, cpu_s, free_port, on_core
from benchmarks.reader import Order, Outcome

SPARE_S = 15.0
"""Seconds that a reader may take over its own time limit until it is ended."""

HOLD_S = 60.0
"""Seconds that a stream which is to stay live does so; longer than its readers may take."""

PAUSE_S = 0.3
"""Seconds between two loads on one server, for what the first left to do."""


class Run(msgspec.Struct, kw_only=True):
    """What one load gave. Percentiles are in milliseconds."""

    readers: int
    not_complete: int
    deltas: int
    """That readers got while CPU was counted."""
    cpu_s: float
    """Of the server and its children, user and system."""
    wall_s: float
    peak_rss_kib: int
    ttft_p50: float
    ttft_p99: float
    lag_p50: float
    lag_p99: float
    lag_max: float
    whole_p50: float
    whole_p99: float
    load_share: float
    """Part of their core that emitter and reader used together; from 0.7 on, they may be what is slow (always in A)."""
    error: str = ""

    @property
    def us_per_delta(self) -> float | None:
        """CPU of the server for one delta that a reader got, in microseconds."""
        return self.cpu_s / self.deltas * 1e6 if self.deltas else None

    @property
    def ms_per_stream(self) -> float:
        """CPU of the server for one request, in milliseconds."""
        return self.cpu_s / self.readers * 1e3


class Bench:
    """A peer with its emitter, ready to be loaded."""

    def __init__(self, peer: Peer, place: Place, server: Process, emitter: Process) -> None:
        self.peer = peer
        self.place = place
        self.server = server
        self.emitter = emitter

    def load(self, load: Load) -> Run:
        """Put a load on the server and say what it gave."""
        order = self._order(load)
        server, emitter = self.server.family(), [self.emitter.pid]
        with MemoryWatch(self.server) as memory, _reading(order, self.place.folder) as reader:
            _line(reader)
            time.sleep(load.skip_s)
            before, emitter_before, start = cpu_s(server), cpu_s(emitter), time.monotonic()
            time.sleep(max(0.0, load.until_s - load.skip_s))
            after = cpu_s(server)
            outcome = msgspec.json.decode(_line(reader), type=Outcome)
            spent, passed = (after if load.until_s else cpu_s(server)) - before, time.monotonic() - start
            emitted = 0.0 if self.peer.is_emitter else cpu_s(emitter) - emitter_before
        return _run(outcome, spent, memory.peak_kib, emitted / passed + outcome.cpu_s / outcome.wall_s)

    def warm_up(self) -> None:
        """
        Prove that it relays.

        Raises:
            Failed: It does not.
        """
        order = Order(
            port=self.place.port, path=self.peer.path, body=body(3, 5000, 0, 0), repeat=3, expect=3, timeout_s=20
        )
        with _reading(order, self.place.folder) as reader:
            _line(reader)
            outcome = msgspec.json.decode(_line(reader), type=Outcome)
        if outcome.completed < order.repeat:
            raise Failed(f"{self.peer.name} does not relay: {outcome.error} {self.server.said()}")

    def _order(self, load: Load) -> Order:
        hold_s = HOLD_S if load.join == "live" else 0
        delay_us = int(1e6 / load.per_s) if load.per_s else 0
        request = body(load.deltas, delay_us, int(load.ttft_s * 1e6), int(hold_s * 1e6))
        order = Order(
            port=self.place.port,
            path=self.peer.path,
            body=request,
            streams=load.readers,
            repeat=load.repeat,
            ramp_s=load.ramp_s,
            skip_s=load.skip_s,
            until_s=load.until_s,
            expect=load.deltas,
            timeout_s=load.timeout_s,
        )
        if load.join == "own":
            return order
        id = self._start(request)
        if load.join != "before":
            self._wait_for(id, load.deltas, load.timeout_s)
        order.method, order.body = "GET", ""
        order.path = f"/v1/streams/{id}/events" + (f"?{load.query}" if load.query else "")
        order.leave, order.lag = load.join == "live", load.join == "before"
        return order

    def _start(self, request: str) -> str:
        started = self._ask(
            "POST", "/v1/streams", msgspec.json.encode(msgspec.json.decode(request) | {"stream": False})
        )
        return str(started["id"])

    def _wait_for(self, id: str, deltas: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if int(self._ask("GET", f"/v1/streams/{id}")["cursor"].rpartition(".")[2]) > deltas:
                time.sleep(PAUSE_S)
                return
            time.sleep(0.1)
        raise Failed(f"{self.peer.name}: {deltas} deltas were not logged in {timeout_s:.0f} s")

    def _ask(self, method: str, path: str, content: bytes | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 300:
            raise Failed(f"{self.peer.name}: {method} {path}: {answer.status} {text[:300].decode(errors='replace')}")
        found: dict[str, Any] = msgspec.json.decode(text)
        return found


def measure(peer: Peer, loads: Mapping[str, Load], ref: str) -> dict[str, Run]:
    """
    Start a peer, put the loads on it one after another, and end it.

    Args:
        peer: The server.
        loads: By name.
        ref: The commit that is the previous one.

    Raises:
        Failed: It did not start, or does not relay.
    """
    runs = {}
    with bench(peer, ref) as ready:
        for name, load in loads.items():
            runs[name] = ready.load(load)
            if not ready.server.alive:
                raise Failed(f"{peer.name} ended under load: {ready.server.said()}")
            time.sleep(PAUSE_S)
    return runs


@contextlib.contextmanager
def bench(peer: Peer, ref: str) -> Iterator[Bench]:
    """Give a peer that has started and relays."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as ends,
    ):
        folder = Path(name)
        port, upstream_port = free_port(), free_port()
        place = Place(port, f"http://127.0.0.1:{upstream_port}", folder, ref)
        peer.prepare(place)
        emitter = ends.enter_context(_start_emitter(upstream_port, folder))
        server = ends.enter_context(
            Process(
                peer.command(place),
                core=SERVER_CORE,
                folder=folder,
                name=peer.name,
                environment=peer.environment(place),
            )
        )
        emitter.wait_for_port(upstream_port)
        server.wait_for_port(port)
        ready = Bench(peer, place, server, emitter)
        ready.warm_up()
        yield ready


def _start_emitter(port: int, folder: Path) -> Process:
    command = program("benchmarks.emitter", str(port))
    return Process(command, core=LOAD_CORE, folder=folder, name="emitter", environment=python_path(ROOT))


@contextlib.contextmanager
def _reading(order: Order, folder: Path) -> Iterator[Popen[bytes]]:
    command = program("benchmarks.reader", msgspec.json.encode(order).decode())
    with on_core(LOAD_CORE), (folder / "reader.log").open("ab") as errors:
        reader = Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=errors, cwd=ROOT)
    try:
        yield reader
        reader.wait(SPARE_S)
    except TimeoutExpired as error:
        raise Failed("the reader did not end") from error
    finally:
        reader.kill()
        reader.wait()
        if reader.stdout:
            reader.stdout.close()


def _line(reader: Popen[bytes]) -> bytes:
    output: IO[bytes] | None = reader.stdout
    line = output.readline() if output else b""
    if not line:
        raise Failed("the reader ended without a word; is the machine out of sockets or memory?")
    return line


def _run(outcome: Outcome, spent: float, peak_kib: int, load_share: float) -> Run:
    return Run(
        readers=outcome.wanted,
        not_complete=outcome.wanted - outcome.completed,
        deltas=outcome.measured,
        cpu_s=spent,
        wall_s=outcome.wall_s,
        peak_rss_kib=peak_kib,
        ttft_p50=outcome.ttft_p50,
        ttft_p99=outcome.ttft_p99,
        lag_p50=outcome.lag_p50,
        lag_p99=outcome.lag_p99,
        lag_max=outcome.lag_max,
        whole_p50=outcome.whole_p50,
        whole_p99=outcome.whole_p99,
        load_share=load_share,
        error=outcome.error,
    )
