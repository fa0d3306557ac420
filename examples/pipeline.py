"""
Run steps one after another, each a durable stream: the first plans, the second writes while the reader watches.

    python examples/pipeline.py

The idempotency key names the run and the step, so a run that was cut short goes on where it stopped: steps that are
done are read from the log instead of being asked again.
"""

import asyncio
import sys

from streamkeep import Relay


async def step(relay: Relay, run: str, name: str, prompt: str, *, show: bool) -> str:
    stream = await relay.start({"prompt": prompt, "metadata": {"step": name}}, idempotency_key=f"{run}:{name}")
    text = ""
    async for piece in stream.text():
        text += piece
        if show:
            print(piece, end="", flush=True)
    return text


async def main(run: str) -> None:
    async with Relay("sqlite:///pipeline.db") as relay:
        plan = await step(relay, run, "plan", "A list of three steps for a tour of a harbour", show=False)
        await step(relay, run, "write", f"Write a short text that follows this plan:\n{plan}", show=True)
        print()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "tour-1"))
