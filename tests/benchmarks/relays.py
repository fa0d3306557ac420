"""
A relay of bytes that understands nothing, to hold the benchmarks' own parts against.

    python relays.py PORT UPSTREAM_PORT [BITE] [CUT]

BITE: bytes that go down at a time; 0: as they come. CUT: bytes after which the connection is closed; 0: never.
"""

import asyncio
import sys


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, bite: int, cut: int) -> None:
    """Pass everything on until one side ends or `cut` bytes have passed."""
    passed = 0
    while data := await source.read(bite or 65536):
        target.write(data[: cut - passed] if cut else data)
        await target.drain()
        passed += len(data)
        if cut and passed >= cut:
            break
    target.close()


async def main(port: int, upstream: int, bite: int = 0, cut: int = 0) -> None:
    """Serve until killed."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(copy(reader, up_writer, 0, 0), copy(up_reader, writer, bite, cut), return_exceptions=True)

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
