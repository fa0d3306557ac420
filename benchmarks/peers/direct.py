"""No relay: the reader at the emitter itself, on the server's core."""

from benchmarks.peers.base import ROOT, Peer, program, python_path

PEERS = (
    Peer(
        name="direct",
        note="no relay between; what added times are counted from",
        command=lambda place: program("benchmarks.emitter", str(place.port)),
        environment=lambda _: python_path(ROOT),
        is_emitter=True,
    ),
)
