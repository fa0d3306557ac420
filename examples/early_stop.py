"""
Stop an answer when a text of your choice appears in it, and pay for no more.

    python examples/early_stop.py

The text may be cut over two pieces, so what is searched is the end of everything so far.
"""

import asyncio

from streamkeep import Relay

SENTINEL = "7, 8"


async def main() -> None:
    async with Relay() as relay:
        stream = await relay.start({"prompt": "count to 500"})
        text = ""
        async for piece in stream.text():
            text += piece
            if SENTINEL in text[-len(piece) - len(SENTINEL) :]:
                break
        receipt = await stream.cancel()
        print(text.partition(SENTINEL)[0] + SENTINEL)
        print(f"{receipt['state']}, upstream closed after {receipt['upstream_closed_ms']} ms")


if __name__ == "__main__":
    asyncio.run(main())
