"""The servers under measurement. A further one is one more file here that ends in `PEERS`."""

import importlib
import pkgutil

from benchmarks.peers.base import Peer


def all_peers() -> dict[str, Peer]:
    """Find them all, by name."""
    files = [each.name for each in pkgutil.iter_modules(__path__) if each.name != "base"]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in files]
    return {peer.name: peer for module in modules for peer in module.PEERS}
