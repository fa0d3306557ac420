"""
Stream an answer in a script: print it as it comes, then what it cost.

    python examples/plain_script.py "Write a haiku about rivers"
"""

import asyncio
import sys

from streamkeep import Relay


async def main(prompt: str) -> None:
    async with Relay("sqlite:///streams.db") as relay:
        stream = await relay.start({"prompt": prompt})
        async for piece in stream.text():
            print(piece, end="", flush=True)
        await stream.refresh()
        print(f"\n\n{stream.id}: {stream.json()['usage']['output_tokens']} tokens, {stream.head.state.value}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Write a haiku about rivers"))
