"""Where the streams are: a server's or this machine's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamkeep.errors import StoreInUse, StreamkeepError
from streamkeep.terminal.access import reach

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("STREAMKEEP_PORT", "9")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[str]:
    """Run a server that gives these bytes to everybody, or keeps silent, and give its port."""
    hold = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reply is None:
            await hold.wait()
        writer.write(reply or b"")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield str(server.sockets[0].getsockname()[1])
        hold.set()


OURS = b'HTTP/1.1 200 OK\r\nrequest-id: req_1\r\n\r\n{"status":"ok"}'


@pytest.mark.parametrize(
    "reply, ours",
    [
        (OURS, True),
        (OURS.replace(b"\r\nrequest-id: req_1", b""), False),
        (OURS.replace(b"200", b"404"), False),
        (b"HTTP/1.1 200 OK\r\nrequest-id: req_1\r\n\r\nhello", False),
        (b"SSH-2.0\r\n", False),
        (None, False),
    ],
)
async def test_only_a_server_of_ours_is_taken_for_one(
    reply: bytes | None, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else listens on the usual port is left alone, also if it says nothing at all."""
    async with answering(reply) as port:
        monkeypatch.setenv("STREAMKEEP_PORT", port)
        async with reach(None, None, read_only=False) as streams:
            assert ours == streams.remote


async def test_a_port_that_is_none_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the variable is told by the settings, where it matters."""
    monkeypatch.setenv("STREAMKEEP_PORT", "many")

    with pytest.raises(StreamkeepError, match="STREAMKEEP_PORT"):
        async with reach(None, None, read_only=False):
            pass


async def test_a_store_has_the_verbs_of_a_server() -> None:
    """Start, follow, show, list and stop, in this process."""
    async with reach(None, None, read_only=False) as streams:
        await streams.start({"id": "a", "prompt": "count to 3", "model": "simulated-1?ttft_s=0&tokens_per_s=0"})
        followed = [(cursor, entry) async for cursor, entry in streams.follow("a")]
        rest = [entry async for _, entry in streams.follow("a", str(followed[3][0]))]
        shown = await streams.show("a")
        listed = await streams.list([], 10)
        receipt = await streams.cancel("a")

    assert [entry.seq for _, entry in followed] == list(range(1, len(followed) + 1))
    assert str(followed[-1][0]) == shown["cursor"]
    assert [entry for _, entry in followed[4:]] == rest
    assert (["a"], "1, 2, 3") == ([each["id"] for each in listed], shown["message"]["content"][0]["text"])
    assert receipt
    assert "completed" == receipt["state"]


async def test_one_writes_and_many_read() -> None:
    """A second writer is refused with the way out; readers are not."""
    async with reach(None, None, read_only=False) as writer:
        await writer.start({"id": "a", "prompt": "count to 3"})
        async with reach(None, None, read_only=True) as reader:
            assert ["a"] == [each["id"] for each in await reader.list(["open", "completed"], 10)]
            assert [] == await reader.list(["failed"], 10)
        with pytest.raises(StoreInUse, match="--url"):
            async with reach(None, None, read_only=False):
                pass
        await writer.cancel("a")


async def test_a_list_is_as_long_as_asked() -> None:
    """Newest first, through the store's pages."""
    async with reach(None, None, read_only=False) as streams:
        for id in "abc":
            await streams.start({"id": id, "prompt": "count to 1", "model": "simulated-1?ttft_s=0&tokens_per_s=0"})

        assert ["c", "b"] == [each["id"] for each in await streams.list([], 2)]
        assert ["c", "b", "a"] == [each["id"] for each in await streams.list([], 1000)]


async def test_no_store_yet_is_told_by_its_code() -> None:
    """A command that only reads makes no file."""
    with pytest.raises(StreamkeepError) as missing:
        async with reach(None, None, read_only=True):
            pass

    assert "store_missing" == missing.value.code
