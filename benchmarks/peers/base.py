"""What a server under measurement is."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.emitter import model

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder."""


@dataclass(frozen=True)
class Place:
    """Where a server is to run."""

    port: int
    upstream: str
    """URL of the emitter."""
    folder: Path
    """For its files; empty at the start."""
    ref: str
    """The commit to compare with, for the peer that is this project at that commit."""

    @property
    def upstream_port(self) -> int:
        """The emitter's port."""
        return int(self.upstream.rpartition(":")[2])


def body(deltas: int, delay_us: int, ttft_us: int, hold_us: int) -> str:
    """Write the request that every peer gets: a Messages request for a stream."""
    request = {
        "model": model(deltas, delay_us, ttft_us, hold_us),
        "max_tokens": 1024,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }
    return json.dumps(request, separators=(",", ":"))


def _nothing(_: Place) -> None:
    """Need no preparation."""


def _present() -> str:
    return ""


@dataclass(frozen=True)
class Peer:
    """One server that relays a model's stream."""

    name: str
    note: str
    """What it is, for the table."""
    command: Callable[[Place], list[str]]
    missing: Callable[[], str] = _present
    """Says what is not installed; empty when all is there."""
    prepare: Callable[[Place], None] = _nothing
    """Writes the files that it needs."""
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda _: {})
    path: str = "/v1/messages"
    keeps_streams: bool = False
    """Whether streams have an address of their own, where others can join."""
    is_emitter: bool = False
    """The emitter itself: what is measured when nothing stands between."""


def program(module: str, *arguments: str) -> list[str]:
    """Name the command of a Python program."""
    return [sys.executable, "-m", module, *arguments]


def python_path(*folders: Path) -> dict[str, str]:
    """Say where a Python program finds what is not installed."""
    return {"PYTHONPATH": ":".join(map(str, folders)), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def absent(*modules: str) -> str:
    """Say which Python packages are not installed."""
    from importlib.util import find_spec

    names = [each for each in modules if find_spec(each) is None]
    return f"needs the Python package{'s' * (len(names) > 1)} {', '.join(names)}" if names else ""
