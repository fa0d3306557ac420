"""
Ask for JSON: show dots while it accumulates, parse it once when it is whole.

    python examples/json_progress.py
"""

import asyncio
import json
import sys

from streamkeep import Relay, State


async def main() -> None:
    async with Relay() as relay:
        stream = await relay.start({"prompt": "Give me json about a lighthouse, nothing else"})
        text = ""
        async for piece in stream.text():
            text += piece
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        if (await stream.refresh()).state is not State.COMPLETED:
            sys.exit("The answer is not whole; nothing is parsed.")
        print(json.dumps(json.loads(text), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(main())
