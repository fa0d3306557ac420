"""Server processes: started as a person starts them, ended by their own pid, and started again on what they left."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

START_S = 30.0
"""Seconds for a server to become ready; it takes one on a machine that does nothing else."""

END_S = 40.0
"""Seconds for a process to end after a signal: the longest drain and what follows it."""

POLL_S = 0.02
"""Seconds between two looks."""

KEEP = ("PATH", "LANG", "SYSTEMROOT")
"""What of this process's environment a server gets."""


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Answer:
    """A response that has been read to its end."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Give the error's stable code; empty if the body is no error."""
        with suppress(ValueError, KeyError, TypeError):
            return str(self.json["error"]["code"])
        return ""


def call(
    base: str,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 20.0,
) -> Answer:
    """
    Make one request on a connection of its own.

    Args:
        base: The server's URL.
        method: Of HTTP.
        path: With its query.
        body: Bytes as they are, anything else as JSON.
        headers: Further ones.
        timeout_s: Seconds without a byte after which it is a hang.
    """
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    given = {"content-type": "application/json"} if data is not None else {}
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=timeout_s)
    try:
        connection.request(method, path, data, {**given, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers.items()), response.read())
    finally:
        connection.close()


class ServerProcess:
    """
    One server: a port, a store, and the process that has them now.

    Args:
        folder: For its store and its log; it becomes the process's home.
        options: For `streamkeep serve`, beside port and store.
        environment: Further variables.
    """

    def __init__(self, folder: Path, options: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = folder / "streams.db"
        self.log_file = folder / "server.log"
        self._folder = folder
        self._options = options
        self._environment = {
            **{name: os.environ[name] for name in KEEP if name in os.environ},
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def arguments(self) -> list[str]:
        """Give what stands behind the program's name."""
        return ["serve", "--port", str(self.port), "--store", f"sqlite:///{self.store}", *self._options]

    @property
    def pid(self) -> int:
        """Give the process's id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Give all that the processes have printed so far, both outputs together."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        command = [sys.executable, "-m", "streamkeep", *self.arguments]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env=self._environment
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait for `/readyz`; a process that ended instead is told with its log."""
        until(lambda: self.ready() or self.exit_code is not None, START_S, explain=lambda: self.log[-2000:])
        assert self.exit_code is None, f"the server ended with {self.exit_code}: {self.log[-2000:]}"

    def ready(self) -> bool:
        """Tell whether it can serve."""
        with suppress(OSError, http.client.HTTPException):
            return self.call("GET", "/readyz", timeout_s=2).status == 200
        return False

    @property
    def exit_code(self) -> int | None:
        """Give the process's exit code; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM, and do not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float = END_S) -> int:
        """Wait until it has ended; give its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def restart(self) -> None:
        """Kill it if it runs, and start it again on the same port and store."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End it, gently if it will."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(0.3)
        except subprocess.TimeoutExpired:
            self.kill()

    def call(self, method: str, path: str, body: Any = None, **how: Any) -> Answer:
        """Make a request; see `call`."""
        return call(self.url, method, path, body, **how)

    def begin(self, model: str, prompt: str = "count to 20", **members: Any) -> str:
        """Start a stream on the native route; give its id."""
        answer = self.call("POST", "/v1/streams", {"model": model, "prompt": prompt, **members})
        assert answer.status in (200, 201), answer.body
        return str(answer.json["id"])

    def show(self, id: str) -> dict[str, Any]:
        """Give a stream as JSON."""
        answer = self.call("GET", f"/v1/streams/{id}")
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def ended(self, id: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait for a stream's end; give it as JSON."""
        self.call("GET", f"/v1/streams/{id}/message?wait={timeout_s}", timeout_s=timeout_s + 5)
        shown = self.show(id)
        assert shown["ended_at"], f"{id} did not end within {timeout_s:g} s: {shown['state']}"
        return shown

    def readers(self) -> int:
        """Give the number of connected readers."""
        return int(self.call("GET", "/readyz").json["readers"])

    def _end(self, sign: signal.Signals) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(sign)
            self._process.wait(END_S)


WARM = """
import os, signal, sys
from streamkeep.cli import main
import streamkeep.cli.serve, streamkeep.embedded, streamkeep.server, streamkeep.server.serving, streamkeep.registry
streamkeep.registry.provider("anthropic"), streamkeep.registry.store("sqlite://"), streamkeep.registry.wire("native")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        main(sys.argv[1:])
        os._exit(0)
    print(pid, flush=True)
"""
"""A program that has imported the server and becomes it, in a process of its own, for each line it reads."""


class WarmServer(ServerProcess):
    """
    A server that starts in milliseconds, for tests that kill it fifty times.

    What dies is a whole process with its own sockets, memory and open database, as with `ServerProcess`; only the
    import of the modules is shared with the process that it was forked from.
    """

    def __init__(self, folder: Path, options: tuple[str, ...], environment: Mapping[str, str]) -> None:
        super().__init__(folder, options, environment)
        with self.log_file.open("ab") as log:
            self._press = subprocess.Popen(
                [sys.executable, "-c", WARM, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=self._environment,
            )
        self._pid: int | None = None
        self._handle: int | None = None

    @property
    def pid(self) -> int:
        """Give the id of the process that serves."""
        assert self._pid is not None
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """Tell whether the process has ended; its code is not known here."""
        return None if self._handle is None or not select.select([self._handle], [], [], 0)[0] else -1

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it, and do not wait."""
        assert self._press.stdin is not None
        assert self._press.stdout is not None
        self._press.stdin.write(b"\n")
        self._press.stdin.flush()
        printed = self._press.stdout.readline()
        while not printed.strip().isdigit():
            assert printed, f"the server cannot be imported: {self.log[-2000:]}"
            printed = self._press.stdout.readline()
        self._pid = int(printed)
        self._handle = os.pidfd_open(self._pid)

    def close(self) -> None:
        """End it and what it is forked from."""
        if self._handle is not None:
            self.kill()
        with self._press:
            self._press.kill()

    def _end(self, sign: signal.Signals) -> None:
        assert self._handle is not None
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, sign)
        assert select.select([self._handle], [], [], END_S)[0], "the process did not end"
        os.close(self._handle)
        self._handle = None


def until(met: Callable[[], bool], timeout_s: float, *, explain: Callable[[], object] = lambda: "") -> float:
    """Look until a condition is met; give how many seconds that took."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s:g} s: {explain()}"
        time.sleep(POLL_S)
    return time.monotonic() - began
