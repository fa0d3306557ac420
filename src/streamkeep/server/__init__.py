"""The relay over HTTP."""

from streamkeep.server.app import create_app, create_router

__all__ = ["create_app", "create_router"]
