"""What the tests of the commands share: a server process, the command as a process, and a terminal to run it on."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

START_S = 20.0
"""Seconds for a server to say that it is ready; it takes one or two on a busy machine."""

END_S = 30.0
"""Seconds for a command to end."""

SLOW = "simulated-1?ttft_s=0&tokens_per_s=60"
"""A model that is still talking when a test does something about it."""

FAST = "simulated-1?ttft_s=0&tokens_per_s=0"
"""A model that answers at once."""

COUNTED = ", ".join(str(number) for number in range(1, 21))
"""What the simulated model answers to `count to 20`."""

STREAMKEEP = (sys.executable, "-m", "streamkeep")


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def environment(folder: Path, port: int = 0, more: Mapping[str, str] = {}) -> dict[str, str]:
    """
    Give the environment of one user.

    Args:
        folder: Where this user's files are.
        port: Where this user's server usually listens; 0 for one where nobody does.
        more: Further variables.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMKEEP_", "FORCE_", "NO_"))}
    usual = {"XDG_DATA_HOME": str(folder), "HOME": str(folder), "TERM": "xterm", "COLUMNS": "160"}
    return {**kept, **usual, "STREAMKEEP_PORT": str(port or free_port()), **more}


class Served:
    """A server process."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        env = environment(folder, more=variables)
        command = [*STREAMKEEP, "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.welcome = _read_until(self.process, "Ctrl-C ends it")
        self.port = int(re.findall(r"http://[^/ ]*:(\d+)", self.welcome)[0])
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Give the environment of the user whose usual server this is."""
        return environment(self.folder, self.port)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End it and give its exit code."""
        self.process.send_signal(by)
        self.process.communicate(timeout=END_S)
        return self.process.returncode


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    ready = threading.Timer(START_S, process.kill)
    ready.start()
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            ready.cancel()
            return read
    raise AssertionError(f"it did not say {text!r}: {read}")


@contextmanager
def served(folder: Path, *options: str, **variables: str) -> Iterator[Served]:
    """Run a server for a while."""
    server = Served(folder, *options, **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGCONT)
            server.process.kill()
            server.process.communicate()


def run(*arguments: str, env: dict[str, str], piped: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [*STREAMKEEP, *arguments]
    return subprocess.run(
        command,
        env=env,
        cwd=env["HOME"],
        input=piped,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=END_S,
        check=False,
    )


def together(*commands: Sequence[str], env: dict[str, str]) -> list[subprocess.CompletedProcess[str]]:
    """Run commands at the same time to their ends."""
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda command: run(*command, env=env), commands))


class Running:
    """A command that runs, with pipes for its outputs."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*STREAMKEEP, *arguments],
            env=env,
            cwd=env["HOME"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def read(self, size: int) -> str:
        """Wait for the first bytes of its answer."""
        assert self.process.stdout is not None
        got = b""
        while len(got) < size:
            piece = os.read(self.process.stdout.fileno(), size - len(got))
            assert piece, f"it ended: {self.process.communicate()[1].decode()}"
            got += piece
        return got.decode()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def leave(self) -> None:
        """Stop reading its answer."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait_for_error(self, text: str) -> str:
        """Wait until it says something on stderr, and give all up to there."""
        assert self.process.stderr is not None
        said = ""
        while text not in said:
            piece = os.read(self.process.stderr.fileno(), 4096)
            assert piece, f"it did not say {text!r}: {said}"
            said += piece.decode()
        return said

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; give exit code, the rest of stdout, and stderr."""
        with self.process as process:
            assert process.stderr is not None
            if process.stdout is None or process.stdout.closed:
                errors = process.stderr.read()
                return process.wait(END_S), "", errors.decode()
            out, errors = process.communicate(timeout=END_S)
            return process.returncode, out.decode(), errors.decode()


class Terminal:
    """A command on a terminal of its own, both outputs and the keyboard."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [*STREAMKEEP, *arguments],
            env=env,
            cwd=env["HOME"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one system call
        )
        os.close(slave)

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._master, key)

    def wait_for(self, text: str) -> None:
        """Wait until something is shown."""
        until = time.monotonic() + END_S
        while text not in self.shown:
            assert self._read(until), f"it did not show {text!r}: {self.shown!r}"

    def end(self) -> int:
        """Wait for the command's end; give its exit code."""
        until = time.monotonic() + END_S
        while self._read(until):
            pass
        os.close(self._master)
        return self.process.wait(END_S)

    def _read(self, until: float) -> bool:
        if not select.select([self._master], [], [], max(until - time.monotonic(), 0))[0]:
            self.process.kill()
            raise AssertionError(f"it hangs: {self.shown!r}")
        try:
            piece = os.read(self._master, 4096)
        except OSError:  # Linux tells the end of a terminal's last user so
            return False
        self.shown += piece.decode().replace("\r\n", "\n")
        return bool(piece)


class Cutter:
    """A TCP proxy that cuts each connection after some bytes from the server, as often as it is told."""

    def __init__(self, target: int, *, after: int, times: int) -> None:
        self.cuts = 0
        self._target = target
        self._after = after
        self._times = times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept nothing more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        left = self._after
        with near, socket.create_connection(("127.0.0.1", self._target)) as far, suppress(OSError):
            while True:
                ready, _, _ = select.select([near, far], [], [])
                if near in ready:
                    data = near.recv(65536)
                    if not data:
                        return
                    far.sendall(data)
                if far in ready:
                    data = far.recv(65536)
                    left -= len(data)
                    if not data:
                        return
                    if left < 0 and self.cuts < self._times:
                        self.cuts += 1
                        near.sendall(data[:left])
                        return
                    near.sendall(data)
