"""
Simulate a model's provider: the Anthropic Messages API on a loopback socket, without a model behind it.

What it answers follows from a seed and the request; how fast, and whether it goes wrong, the request can say itself:

    async with Simulator(tokens_per_s=200) as simulator:
        client = anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="any")
        async with client.messages.stream(
            model="simulated-1?refuse=reset-after:20&refuse_times=1",
            max_tokens=1024,
            messages=[{"role": "user", "content": "think, then use a tool"}],
        ) as stream:
            ...

It shares no code with the parts that read it, so that an error in one is not an error in both.

    request ─▶ script ─▶ answer ─▶ events ─▶ pace ─▶ playback ─▶ socket
               decides   blocks    bytes     when    writes, fails

Laws
    1. The same seed and request give the same bytes.
    2. A stream and a message of one request have the same content.
    3. A client that goes away is noticed at once, also between two tokens.
"""

from streamkeep.simulator.records import Outcome, RequestRecord, Statistics
from streamkeep.simulator.replay import Chunking
from streamkeep.simulator.server import Simulator

__all__ = ["Chunking", "Outcome", "RequestRecord", "Simulator", "Statistics"]
