"""Use a Streamkeep server from Python, over HTTP."""

from streamkeep.client.client import AsyncClient, RemoteEntry, RemoteStream

__all__ = ["AsyncClient", "RemoteEntry", "RemoteStream"]
