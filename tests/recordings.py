"""
Streams recorded from real providers, and the WHATWG vectors: data that lives beside the checkout, not in it.

The folder is named by the environment variable STREAMKEEP_RECORDINGS, else it is `../shared/recordings`, seen
from the checkout. Where it is missing the lists here are empty, so that a test parametrized by one of them is
skipped by name, with what is missing in the header of the run.

    @pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
    def test_...(recording: Recording) -> None: ...
"""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """Return the folder beside the checkout that holds test data (STREAMKEEP_SHARED); it may not exist."""
    return Path(os.environ.get("STREAMKEEP_SHARED") or ROOT.parent / "shared")


def recordings_folder() -> Path:
    """Return the folder of the recordings (STREAMKEEP_RECORDINGS); it may not exist."""
    return Path(os.environ.get("STREAMKEEP_RECORDINGS") or shared_folder() / "recordings")


@dataclass(frozen=True)
class Recording:
    """One response body, as its index describes it."""

    file: str
    """Path below the folder; also the recording's name."""
    api: str
    """`anthropic-messages`, `openai-chat`, `openai-responses`, `openai-completions`, `gemini` or `other`."""
    provider: str
    form: str
    """`sse`: the body as it came. `json-lines`: one payload a line; the framing was lost."""
    status: int
    events: int
    """How many messages the index counts."""
    features: tuple[str, ...]
    synthetic: bool
    """True if its authors wrote or edited it by hand."""

    def __str__(self) -> str:
        """Name it in the ids of parametrized tests."""
        return Path(self.file).name.removesuffix(".sse").removesuffix(".txt").removesuffix(".chunks")

    @cached_property
    def raw(self) -> bytes:
        """The file, byte for byte."""
        return (recordings_folder() / self.file).read_bytes()

    def sse_bytes(self) -> bytes:
        """Return the body as an upstream sends it; a final blank line that the recorder lost is put back."""
        if self.form == "json-lines":
            return b"".join(map(self._frame, self._lines())) + self._closing()
        return self.raw + b"\n" * (2 - _final_newlines(self.raw))

    def payloads(self) -> list[bytes]:
        """Return what stands in each message's `data`, unparsed, in order."""
        if self.form == "json-lines":
            return self._lines()
        found = (_data(block) for block in re.split(rb"\r?\n\r?\n", self.raw))
        return [data for data in found if data is not None]

    def _lines(self) -> list[bytes]:
        return [line for line in self.raw.splitlines() if line.strip()]

    def _frame(self, payload: bytes) -> bytes:
        if self.api in ("anthropic-messages", "openai-responses"):
            return b"event: %s\ndata: %s\n\n" % (_event_type(payload), payload)
        return b"data: %s\n\n" % payload

    def _closing(self) -> bytes:
        return b"data: [DONE]\n\n" if self.api == "openai-chat" else b""


def _final_newlines(body: bytes) -> int:
    """Count the line ends that close the body, at most the two that make a blank line."""
    end = body.replace(b"\r\n", b"\n")[-2:]
    return len(end) - len(end.rstrip(b"\n"))


def _event_type(payload: bytes) -> bytes:
    try:
        return str(json.loads(payload)["type"]).encode()
    except ValueError:
        # Two payloads were recorded with their last brace cut off; their type stands first.
        found = re.search(rb'"type"\s*:\s*"([^"]+)"', payload)
        return found[1] if found else b"message"


def _data(block: bytes) -> bytes | None:
    # Deliberately not streamkeep.sse: what the codec is measured against must not be the codec.
    values = [line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:")]
    return b"\n".join(values) if values else None


def _load() -> list[Recording]:
    index = recordings_folder() / "index.json"
    if not index.exists():
        return []
    members = ("file", "api", "provider", "form", "status", "events", "synthetic")
    rows = json.loads(index.read_text(encoding="utf-8"))
    return [Recording(**{name: row[name] for name in members}, features=tuple(row["features"])) for row in rows]


RECORDINGS: list[Recording] = _load()
"""Every recording of the index, in its order; empty where the folder is missing."""

needs_recordings = pytest.mark.skipif(not RECORDINGS, reason=f"no recordings in {recordings_folder()}")
"""The mark for a test that opens recordings by itself instead of being parametrized by them."""


def recordings_of(api: str) -> list[Recording]:
    """Return the recordings of one API, such as `openai-chat`."""
    return [each for each in RECORDINGS if each.api == api]


def anthropic_recordings() -> list[Recording]:
    """Return the recordings of the Messages API."""
    return recordings_of("anthropic-messages")


def wpt_vectors() -> list[dict[str, Any]]:
    """Return the WHATWG EventSource vectors (derived from web-platform-tests); empty where the file is missing."""
    path = shared_folder() / "wpt-eventsource.json"
    if not path.exists():
        return []
    vectors: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    return vectors
