"""
Answer HTTP requests as the Messages API does: routes, keys, headers, errors.

What is answered is decided in `script`, how it is written in `playback`.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import msgspec
from aiohttp import web

from streamkeep.simulator import models, options, pace, replay, request, steering
from streamkeep.simulator.answer import Answer, message
from streamkeep.simulator.events import Event, events
from streamkeep.simulator.options import Options
from streamkeep.simulator.playback import Playback
from streamkeep.simulator.records import Outcome, Records, RequestRecord
from streamkeep.simulator.refusals import REFUSALS, Ending, Fault, Refusal, Refused, error_body, invalid
from streamkeep.simulator.replay import Chunking, Recording
from streamkeep.simulator.request import MessagesRequest
from streamkeep.simulator.script import identifier, script

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
"""Bytes of a request's body: the Messages API's own limit."""

MAX_REMEMBERED_ANSWERS: Final = 32
"""Encoded answers kept, so that a hundred readers of one prompt cost one script."""

MAX_REMEMBERED_EVENTS: Final = 5_000
"""Events of an answer that is kept; longer ones are made again. A thousand take some 300 KB."""

MAX_REFUSAL_COUNTS: Final = 1_024
"""Requests whose refusals are counted; the least recent are forgotten first."""

_RATE_LIMITS: Final[Mapping[str, int]] = {
    "requests": 4_000,
    "tokens": 2_400_000,
    "input-tokens": 2_000_000,
    "output-tokens": 400_000,
}
"""A minute's limits, as the headers tell them; nothing is limited."""

_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_log: Final = logging.getLogger(__name__)

_RECORD: Final = web.RequestKey("record", RequestRecord)
_REQUEST_ID: Final = web.RequestKey("request_id", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MessagesApi:
    """
    The routes of one simulator.

    Args:
        defaults: pace and seed of a request that asks for none.
        keys: the ones that are taken; None for any.
        records: where requests are noted.
        recording: answers every stream request, if given.
        chunking: how the recording is cut.
    """

    def __init__(
        self,
        defaults: Options,
        keys: Collection[str] | None,
        records: Records,
        recording: Recording | None = None,
        chunking: Chunking = Chunking.EVENT,
    ) -> None:
        self._defaults = defaults
        self._keys = None if keys is None else frozenset(keys)
        self._records = records
        self._recording = recording
        self._chunking = chunking
        self._naming = Random(f"{defaults.seed}:requests")
        self._organization = identifier("org", self._naming)
        self._answers: OrderedDict[tuple[Any, ...], tuple[Event, ...]] = OrderedDict()
        self._refused: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._transports: set[asyncio.Transport] = set()
        self._closing = False

    def application(self) -> web.Application:
        """
        Return the application that serves the routes.
        """

        @web.middleware
        async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._answer(request, handler)

        application = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[_answer])
        application.router.add_post("/v1/messages", self._messages)
        application.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        application.router.add_get("/v1/models", self._models, allow_head=False)
        application.router.add_get("/v1/models/{name:.+}", self._model, allow_head=False)
        if self._recording is not None:
            application.router.add_post("/v1/chat/completions", self._replayed)
            application.router.add_post("/v1/responses", self._replayed)
        return application

    def close(self) -> None:
        """
        Cut what is still being answered.
        """
        self._closing = True
        for transport in tuple(self._transports):
            transport.abort()

    async def _answer(self, http: web.Request, handler: Handler) -> web.StreamResponse:
        """
        Note the request, and give every error the API's shape.
        """
        record = self._records.open(http.method, http.path, http.headers)
        http[_RECORD], http[_REQUEST_ID] = record, identifier("req", self._naming)
        transport = http.transport
        if transport is not None:
            self._transports.add(transport)
        try:
            response = await self._refusing(http, handler)
            self._records.end(record, Outcome.FINISHED, response.status)
            return response
        except (asyncio.CancelledError, ConnectionError) as gone:
            self._records.end(record, Outcome.CUT if self._closing else Outcome.DISCONNECTED)
            # Nobody is left to answer: aiohttp logs any other error with its stack and answers it with 500.
            raise asyncio.CancelledError from gone
        finally:
            if transport is not None:
                self._transports.discard(transport)

    async def _refusing(self, http: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(http)
        except Refused as refused:
            refusal = refused.refusal
        except web.HTTPException as problem:
            refusal = _of_http(problem)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            _log.exception("The simulator failed to answer %s %s", http.method, http.path)
            refusal = REFUSALS["500"]
        self._records.end(http[_RECORD], Outcome.REFUSED, refusal.status)
        return self._refusal(refusal, http)

    def _refusal(self, refusal: Refusal, http: web.Request) -> web.Response:
        headers = {**self._headers(http), **refusal.headers}
        if refusal.html:
            return web.Response(text=refusal.html, content_type="text/html", status=refusal.status, headers=headers)
        return _json(error_body(refusal.kind, refusal.message, http[_REQUEST_ID]), headers, refusal.status)

    def _headers(self, http: web.Request) -> dict[str, str]:
        """
        Return what every response carries, rate limits included.
        """
        used = http[_RECORD].number
        reset_at = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "request-id": http[_REQUEST_ID],
            "anthropic-organization-id": self._organization,
            "server": "streamkeep-simulator",
        }
        for name, limit in _RATE_LIMITS.items():
            headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(limit - used % limit)
            headers[f"anthropic-ratelimit-{name}-reset"] = reset_at
        return headers

    def _check_key(self, http: web.Request) -> None:
        scheme, _, bearer = http.headers.get("authorization", "").partition(" ")
        key = http.headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not key:
            raise Refused(Refusal(401, "authentication_error", "x-api-key header is required"))
        if self._keys is not None and key not in self._keys:
            raise Refused(REFUSALS["401"])

    def _check_version(self, http: web.Request) -> str:
        version = http.headers.get("anthropic-version", "")
        if not version:
            raise invalid("anthropic-version: header is required")
        if not _VERSION.fullmatch(version):
            raise invalid(f"anthropic-version: {version[:40]!r} is not a valid version")
        return version

    async def _models(self, http: web.Request) -> web.StreamResponse:
        self._check_key(http)
        self._check_version(http)
        return _json(models.page(http.query), self._headers(http))

    async def _model(self, http: web.Request) -> web.StreamResponse:
        self._check_key(http)
        self._check_version(http)
        return _json(models.model(http.match_info["name"]), self._headers(http))

    async def _count_tokens(self, http: web.Request) -> web.StreamResponse:
        self._check_key(http)
        self._check_version(http)
        return _json({"input_tokens": request.count_input(request.decode(await http.read()))}, self._headers(http))

    async def _messages(self, http: web.Request) -> web.StreamResponse:
        self._check_key(http)
        version = self._check_version(http)
        asked = request.read(request.decode(await http.read()), version)
        self._records.started(http[_RECORD], asked.model, stream=asked.stream)
        chosen = self._choose(asked, http)
        if chosen.refusal is not None:
            raise Refused(chosen.refusal)
        if not asked.stream:
            return await self._whole(asked, chosen, http)
        if self._recording is not None:
            return await self._play_recording(self._recording, chosen, http)
        return await self._stream(asked, chosen, http)

    async def _replayed(self, http: web.Request) -> web.StreamResponse:
        """
        Play the recording on a route of another dialect.
        """
        self._check_key(http)
        model = request.decode(await http.read()).get("model", "")
        self._records.started(http[_RECORD], str(model)[:200], stream=True)
        assert self._recording is not None
        return await self._play_recording(self._recording, options.read(self._defaults), http)

    def _choose(self, asked: MessagesRequest, http: web.Request) -> Options:
        """
        Return the request's options, without its failure where that has been served often enough.
        """
        defaults = models.pace_of(asked.model, self._defaults)
        prompted = steering.steer(asked.turn.prompt).options
        chosen = options.read(defaults, options.in_headers(http.headers), *asked.options, prompted)
        if chosen.refuse_times is None or not (chosen.refusal or chosen.fault):
            return chosen
        key = (asked.identity, repr(chosen.refusal or chosen.fault))
        count = self._refused.pop(key, 0) + 1
        self._refused[key] = count
        if len(self._refused) > MAX_REFUSAL_COUNTS:
            self._refused.popitem(last=False)
        return chosen if count <= chosen.refuse_times else options.without_failure(chosen)

    async def _whole(self, asked: MessagesRequest, chosen: Options, http: web.Request) -> web.StreamResponse:
        answer = script(asked, chosen.seed)
        await asyncio.sleep(pace.due_s(answer.output_tokens, chosen.ttft_s, chosen.tokens_per_s))
        if chosen.fault is not None:
            return await self._whole_failing(answer, chosen.fault, http)
        return _json(message(answer), self._headers(http))

    async def _whole_failing(self, answer: Answer, fault: Fault, http: web.Request) -> web.StreamResponse:
        """
        Fail where there is no stream: overloaded, half a body, no body, or a reset.
        """
        if fault.ending is Ending.ERROR_EVENT:
            raise Refused(REFUSALS["529"])
        playback = await self._begin(http, "application/json", asyncio.get_running_loop().time())
        if fault.ending is Ending.CLEAN_END:
            body = msgspec.json.encode(message(answer))
            await playback.play([pace.Frame(body[: len(body) // 2], 0.0, events=0)])
        await playback.fail(Fault(Ending.SILENCE, None) if fault.ending is Ending.PINGS else fault)
        return playback.response

    async def _stream(self, asked: MessagesRequest, chosen: Options, http: web.Request) -> web.StreamResponse:
        record = http[_RECORD]
        made = self._events(asked, chosen.seed)
        fault = chosen.fault
        frames = list(pace.paced(made[: fault.after] if fault else made, chosen.ttft_s, chosen.tokens_per_s))
        await self._until(record.started + chosen.ttft_s)
        playback = await self._begin(http, "text/event-stream; charset=utf-8", record.started)
        await playback.play(frames)
        await (playback.fail(fault) if fault else playback.finish())
        return playback.response

    async def _play_recording(self, recording: Recording, chosen: Options, http: web.Request) -> web.StreamResponse:
        record = http[_RECORD]
        frames = replay.frames(
            recording,
            self._chunking,
            Random(chosen.seed),
            ttft_s=chosen.ttft_s,
            events_per_s=chosen.tokens_per_s,
            after=chosen.fault.after if chosen.fault else None,
        )
        await self._until(record.started + chosen.ttft_s)
        playback = await self._begin(http, "text/event-stream; charset=utf-8", record.started)
        await playback.play(list(frames), most_together=1)
        await (playback.fail(chosen.fault) if chosen.fault else playback.finish())
        return playback.response

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))

    async def _begin(self, http: web.Request, content_type: str, started: float) -> Playback:
        response = web.StreamResponse(headers={**self._headers(http), "content-type": content_type})
        response.headers["cache-control"] = "no-cache"
        response.enable_chunked_encoding()
        http[_RECORD].status = response.status
        await response.prepare(http)
        return Playback(http.transport, response, self._records, http[_RECORD], started)

    def _events(self, asked: MessagesRequest, seed: int) -> tuple[Event, ...]:
        """
        Return the encoded answer, from memory if it was asked for lately.
        """
        key = (seed, asked.fingerprint)
        made = self._answers.pop(key, None)
        if made is None:
            answer = script(asked, seed)
            made = tuple(events(answer, Random(f"{seed}:{asked.identity}:wire")))
        if len(made) <= MAX_REMEMBERED_EVENTS:
            self._answers[key] = made
        if len(self._answers) > MAX_REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)
        return made


def _json(body: Mapping[str, Any], headers: Mapping[str, str], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers={**headers, "content-type": "application/json"}
    )


def _of_http(problem: web.HTTPException) -> Refusal:
    """
    Return the API's words for what the HTTP server refused.
    """
    if problem.status == REFUSALS["413"].status:
        return REFUSALS["413"]
    if problem.status == 404:
        return Refusal(404, "not_found_error", "Not found")
    return Refusal(problem.status, "invalid_request_error", problem.reason)
