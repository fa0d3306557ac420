"""A process that writes a log is killed at any instruction; what it had acknowledged is there."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from streamkeep.errors import StoreInUse
from streamkeep.stores.sqlite import SqliteStore

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STREAMS = 20

WRITER = """
import asyncio, sys
from streamkeep.entry import Entry
from streamkeep.stores.base import Append, Record
from streamkeep.stores.sqlite import SqliteStore

async def write(store, id):
    record = Record(id=id, created_at=1.0, provider="sim", model="m", fingerprint="f")
    accepted, cancelled = Entry(1, 1.0, "stream.accepted", b"{}"), Entry(2, 1.0, "stream.cancel_requested", b"{}")
    await store.create(record, accepted, epoch="abc", cancelled=cancelled, lease_s=60.0)
    for seq in range(1, 1_000_000):
        await store.append(id, [Entry(seq + 1, 1.0, "ping", b"%d" % seq + b" " * 400)], after=seq, token=1)
        print(id, seq + 1, flush=True)

async def main(path, synchronous, streams):
    store = SqliteStore(path, synchronous=synchronous)
    await store.open()
    await asyncio.gather(*(write(store, f"s{number}") for number in range(streams)))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def acknowledged_before_the_kill(path: Path, synchronous: str, lines: int) -> dict[str, int]:
    """Run the writer until it has acknowledged so many appends, kill it, and give all that it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path), synchronous, str(STREAMS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        output = [writer.stdout.readline() for _ in range(lines)]
        assert "pid" in refusal(path)
        writer.kill()
        output += writer.stdout.readlines()
    # The kill may cut the last line short.
    whole = [line.split() for line in output if line.endswith("\n")]
    return {id: int(seq) for id, seq in whole}


def refusal(path: Path) -> str:
    with pytest.raises(StoreInUse) as refused:
        asyncio.run(SqliteStore(path).open())
    return refused.value.message


async def look(path: Path) -> dict[str, int]:
    """Open what is left and give each stream's last entry, having read it all."""
    store = SqliteStore(path)
    await store.open()
    found = {}
    for head in await store.list(limit=200):
        seqs: list[int] = []
        while page := await store.read(head.id, len(seqs)):
            assert all(each.data == b"%d" % (each.seq - 1) + b" " * 400 for each in page if each.seq > 1)
            seqs += [each.seq for each in page]
        assert list(range(1, head.seq + 1)) == seqs
        found[head.id] = head.seq
    await store.close()
    return found


@pytest.mark.parametrize("synchronous, lines", [("normal", 100), ("normal", 9_000), ("full", 2_000)])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, synchronous: str, lines: int) -> None:
    """I1, I2: kill -9 takes nothing that was answered, in blocks or in the journal, and leaves no gap."""
    path = tmp_path / "log.db"
    expected = acknowledged_before_the_kill(path, synchronous, lines)

    found = asyncio.run(look(path))

    assert STREAMS == len(expected)
    assert {} == {id: (seq, found.get(id)) for id, seq in expected.items() if found.get(id, 0) < seq}
    assert found == asyncio.run(look(path))
