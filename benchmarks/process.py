"""
Processes under measurement: started on one core, watched through /proc, and ended by their ids.

Source
    proc(5): `/proc/<pid>/task/<tid>/schedstat` begins with the nanoseconds that a thread had on a CPU; ticks of
    `/proc/<pid>/stat` are too coarse for a run of seconds.
"""

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]

END_S = 1.5
"""Seconds that a process may take to end by itself; servers with a drain take longer and are killed."""

START_S = 30.0
"""Seconds for a server until it accepts connections."""

LOG_CHARS = 1500
"""Characters of a failed process's output that are shown, from its end."""

WATCH_S = 0.15
"""Seconds between two looks at a process's memory."""

FOREIGN = ("STREAMKEEP_", "ANTHROPIC_", "OPENAI_")
"""Settings of whoever runs this, which would make the measurement another one."""


class Failed(Exception):
    """A peer did not do what was asked; the text says what."""


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def allow_many_sockets() -> None:
    """Raise the limit of open files, for this process and those it starts, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run this thread, and start what it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(root: int) -> list[int]:
    """List a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Sum the seconds that the threads of some processes had on a CPU."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(schedstat.read_text().split()[0])
    return total / 1e9


def rss_kib(pids: Sequence[int]) -> int:
    """Sum the resident memory of some processes, in KiB."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total


class Process:
    """
    One program on one core, with its output in a file.

    Args:
        command: Program and arguments.
        core: Where it runs.
        folder: Its working directory, and where its output goes.
        name: Of the output's file.
        environment: Added to this process's own, from which all settings of streamkeep and the vendors are removed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        folder: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.output = folder / f"{name}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        local = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        with self.output.open("wb") as output, on_core(core):
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=inherited | local | dict(environment or {}),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The program's id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._popen.poll() is None

    def family(self) -> list[int]:
        """List it and its children."""
        return family(self.pid)

    def said(self) -> str:
        """Give the end of its output."""
        return self.output.read_text(errors="replace")[-LOG_CHARS:].strip()

    def wait_for_port(self, port: int) -> None:
        """
        Wait until it accepts connections.

        Raises:
            Failed: It ended, or took longer than `START_S`.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.alive:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.05)
        raise Failed(f"{self.name} did not start: {self.said()}")

    def end(self) -> str:
        """End it and its children, and give what it said last."""
        pids = self.family() if self.alive else []
        if pids:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(END_S)
        for pid in pids[1:] + ([self.pid] if self.alive else []):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        return self.said()


class MemoryWatch:
    """Looks at the memory of a process and its children until told to stop; `peak_kib` is the most it saw."""

    def __init__(self, process: Process) -> None:
        self._pids = process.family()
        self._stop = threading.Event()
        self.peak_kib = rss_kib(self._pids)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_S):
            self.peak_kib = max(self.peak_kib, rss_kib(self._pids))
