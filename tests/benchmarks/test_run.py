"""The emitter, the reader and what stands between them, as real processes."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load import Load
from benchmarks.peers import all_peers
from benchmarks.peers.base import Peer, Place
from benchmarks.process import Failed, free_port
from benchmarks.run import measure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmarks need /proc and epoll"),
]

LOAD = Load(deltas=20, per_s=200, readers=5, ramp_s=0.05, timeout_s=10)


def relay(*arguments: int) -> Peer:
    def command(place: Place) -> list[str]:
        program = Path(__file__).with_name("relays.py")
        return [sys.executable, str(program), str(place.port), str(place.upstream_port), *map(str, arguments)]

    return Peer("relay", "bytes", command)


def test_the_reader_counts_exactly_what_the_emitter_sent() -> None:
    """Through a relay that cuts the bytes anywhere, every delta of every stream is counted once, with its lag."""
    run = measure(relay(7), {"": LOAD}, "HEAD")[""]

    assert (0, 5 * 20) == (run.not_complete, run.deltas)
    assert 0 < run.lag_p50 <= run.lag_p99 <= run.lag_max
    assert run.wall_s >= LOAD.nominal_s - 0.05
    assert run.cpu_s > 0
    assert run.peak_rss_kib > 1000


def test_a_reader_that_lost_deltas_counts_as_not_complete() -> None:
    """What a relay swallows is missing in the figures and names every reader it was kept from."""
    peer, whole = relay(0, 4000), replace(LOAD, deltas=100)

    with pytest.raises(Failed, match=r"ended|does not relay"):
        measure(relay(0, 900), {"": LOAD}, "HEAD")
    run = measure(peer, {"": whole}, "HEAD")[""]

    assert 5 == run.not_complete
    assert 0 < run.deltas < 5 * 100


def test_a_server_that_does_not_start_is_a_failure_that_says_why() -> None:
    """A peer that ends at once is reported with its last words."""
    broken = Peer("broken", "", lambda _: [sys.executable, "-c", "raise SystemExit('no such thing')"])

    with pytest.raises(Failed, match="broken did not start: no such thing"):
        measure(broken, {"": LOAD}, "HEAD")


def test_readers_join_one_kept_stream() -> None:
    """Readers of one stream each get all of it, live from before its first delta or after its end."""
    loads = {
        "before": replace(LOAD, join="before", ttft_s=0.5),
        "ended": replace(LOAD, join="ended", query="catchup=merged"),
    }

    runs = measure(all_peers()["streamkeep-memory"], loads, "HEAD")

    assert {"before": 0, "ended": 0} == {name: run.not_complete for name, run in runs.items()}
    assert 5 * 20 == runs["before"].deltas


def test_free_ports_differ() -> None:
    """Two ports asked for in a row can both be listened on."""
    assert free_port() != free_port()
