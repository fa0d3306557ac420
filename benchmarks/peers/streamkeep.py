"""This project: each store as it is now, and the commit before."""

import functools
import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping

from benchmarks.peers.base import ROOT, Peer, Place, program, python_path
from benchmarks.process import Failed


def _serve(place: Place, store: str, synchronous: str = "normal") -> list[str]:
    options = {"--port": str(place.port), "--store": store, "--synchronous": synchronous, "--log-level": "warning"}
    return program("streamkeep", "serve", *(word for option in options.items() for word in option))


def _memory(place: Place) -> list[str]:
    return _serve(place, "memory://")


def _sqlite(place: Place) -> list[str]:
    return _serve(place, f"sqlite:///{place.folder}/streams.db")


def _sqlite_full(place: Place) -> list[str]:
    return _serve(place, f"sqlite:///{place.folder}/streams.db", "full")


def _environment(place: Place) -> Mapping[str, str]:
    return {"ANTHROPIC_BASE_URL": place.upstream, "ANTHROPIC_API_KEY": "none", **python_path(ROOT / "src")}


def _previous_environment(place: Place) -> Mapping[str, str]:
    return {**_environment(place), **python_path(place.folder / "previous" / "src")}


@functools.cache
def _archive(ref: str) -> bytes:
    command = ["git", "archive", "--format=tar", ref, "src"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        raise Failed(f"git has no {ref}: {made.stderr.decode(errors='replace').strip()}")
    return made.stdout


def _unpack_previous(place: Place) -> None:
    with tarfile.open(fileobj=io.BytesIO(_archive(place.ref))) as archive:
        archive.extractall(place.folder / "previous", filter="data")


def _no_history() -> str:
    return "" if shutil.which("git") and (ROOT / ".git").exists() else "needs git and the project's history"


PEERS = (
    Peer("streamkeep-memory", "this tree, streams in memory", _memory, environment=_environment, keeps_streams=True),
    Peer(
        "streamkeep-sqlite",
        "this tree, SQLite NORMAL: survives a killed process",
        _sqlite,
        environment=_environment,
        keeps_streams=True,
    ),
    Peer(
        "streamkeep-sqlite-full",
        "this tree, SQLite FULL: survives a power cut",
        _sqlite_full,
        environment=_environment,
        keeps_streams=True,
    ),
    Peer(
        "streamkeep-previous",
        "the commit before (`--ref`), SQLite NORMAL",
        _sqlite,
        missing=_no_history,
        prepare=_unpack_previous,
        environment=_previous_environment,
        keeps_streams=True,
    ),
)
