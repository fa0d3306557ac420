"""Say whether this server lives, and whether it can serve."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from streamkeep.errors import StreamkeepError
from streamkeep.server.service import Service


def routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Tell that the process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def ready() -> Response:
        """Tell whether streams can be started: the store answers and the server is not going down."""
        counts = {"streams": len(service.relay.producers), "readers": service.heart.readers}
        if service.relay.draining:
            return JSONResponse({"status": "draining", **counts}, 503, {"retry-after": "1"})
        try:
            await service.relay.store.list(limit=1)
        except StreamkeepError as error:
            return JSONResponse({"status": "store", "code": error.code, **counts}, 503)
        return JSONResponse({"status": "ready", **counts})

    return router
