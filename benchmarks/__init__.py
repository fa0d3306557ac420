"""
What one streamed token costs here, and in the servers that people use today.

    make bench                                     everything, in turns
    python -m benchmarks -s B,T -p streamkeep-sqlite,nginx -r 5
    python -m benchmarks --quick                   does it run at all
    python -m benchmarks.profile sqlite            where the time of scenario B goes

Strategy
    The server under test has the first core for itself; the emitter (a model's API that costs next to nothing) and
    the reader (all clients in one process) share the second. Every delta carries the emitter's clock, so that lag is
    known whatever dialect comes out. CPU is what the kernel's scheduler counted for the server's processes.
    All peers of one table ran in turns, each time freshly started, so that they shared the machine's moods.

Laws
    A figure that is printed has its command beside it. A reader that did not get every delta is counted as missing,
    never left out. What is not installed is skipped by name.
"""
