"""
Say what a start may ask for beyond the request itself, and read it from JSON.

Pure: no I/O, no clock.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from streamkeep.errors import BadRequest

ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What a stream's id may look like: fit for a URL path without escaping."""

MAX_KEY_CHARACTERS = 255
"""Longest `Idempotency-Key`, in characters."""

MAX_METADATA_BYTES = 16 * 1024
"""Largest `metadata`, in bytes of JSON."""

DEFAULT_MAX_TOKENS = 4096
"""`max_tokens` of a native start that names none."""


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Time limits on one attempt, in seconds."""

    connect: float = 10.0
    """Until a connection is made."""
    first_event: float = 180.0
    """From the request until the first event, pings included."""
    idle: float = 60.0
    """Between any two bytes after that; pings count as life."""
    content: float = 600.0
    """Between two events that show something, though pings come."""
    total: float = 3600.0
    """For the whole stream, all attempts together."""

    def __post_init__(self) -> None:
        """Refuse limits that are none."""
        for name in self.__struct_fields__:
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"timeouts.{name} must be more than 0 and at most 86400 seconds")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one stream deals with trouble."""

    retries: int = 2
    """Further attempts while nothing is visible yet."""
    cancel_when_unwatched: float | None = None
    """Seconds without a reader after which the stream is stopped; None: never."""
    timeouts: Timeouts = Timeouts()
    ttl: float = 3600.0
    """Seconds to keep the stream after its end."""

    def __post_init__(self) -> None:
        """Refuse values out of bounds."""
        if not 0 <= self.retries <= 10:
            raise ValueError("retries must be from 0 to 10")
        if self.cancel_when_unwatched is not None and not 0 < self.cancel_when_unwatched <= 86_400:
            raise ValueError("cancel_when_unwatched must be more than 0 and at most 86400 seconds")
        if not 0 <= self.ttl <= 30 * 86_400:
            raise ValueError("ttl must be from 0 to 2592000 seconds (30 days)")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start, checked."""

    id: str | None
    provider: str | None
    policy: Policy
    metadata: dict[str, Any]
    request: dict[str, Any]
    """The Messages request for the provider."""
    headers: dict[str, str]
    """The caller's vendor headers, lower-case names."""
    idempotency_key: str | None

    @property
    def fingerprint(self) -> str:
        """Give the SHA-256 of all that decides what the model is asked (I15)."""
        parts = [self.provider, self.request, self.headers, msgspec.to_builtins(self.policy), self.metadata]
        return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def read_policy(value: object, default: Policy) -> Policy:
    """
    Read a policy from JSON-like data; what it leaves out is as in `default`.

    Raises:
        BadRequest: A member is unknown or out of bounds.
    """
    if value is None:
        return default
    if not isinstance(value, Mapping):
        raise BadRequest("policy: must be an object")
    given = dict(value)
    base = msgspec.to_builtins(default)
    timeouts = given.get("timeouts")
    if isinstance(timeouts, Mapping):
        given["timeouts"] = {**msgspec.to_builtins(default.timeouts), **timeouts}
    try:
        return msgspec.convert({**base, **given}, Policy)
    except msgspec.ValidationError as error:
        raise BadRequest(f"policy: {error}") from error


def read_start(
    body: Mapping[str, Any], *, default: Policy, headers: Mapping[str, str], idempotency_key: str | None
) -> Start:
    """
    Read a native start: a Messages request with our members among its own.

    `prompt` stands for one user message. `metadata` is the caller's own and is given back with the stream; of it only
    a text `user_id` goes to the vendor, which knows no other member.

    Raises:
        BadRequest: A member of ours is not as it should be.
    """
    request = dict(body)
    metadata = request.pop("metadata", None) or {}
    if not isinstance(metadata, dict) or _size(metadata) > MAX_METADATA_BYTES:
        raise BadRequest(f"metadata: must be an object of at most {MAX_METADATA_BYTES} bytes")
    if isinstance(metadata.get("user_id"), str):
        request["metadata"] = {"user_id": metadata["user_id"]}
    if "prompt" in request:
        request = _with_prompt(request)
    request.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    return _start(request, metadata, default, headers, idempotency_key)


def read_vendor_start(
    body: Mapping[str, Any],
    policy: object,
    *,
    default: Policy,
    headers: Mapping[str, str],
    idempotency_key: str | None,
) -> Start:
    """
    Read a start made in the vendor's own dialect: only `policy` is ours, and it may come apart from the body.

    Raises:
        BadRequest: The policy is not as it should be.
    """
    request = dict(body)
    request.setdefault("policy", policy)
    request = {key: value for key, value in request.items() if key not in ("id", "provider")}
    return _start(request, {}, default, headers, idempotency_key)


def check_id(id: object) -> str:
    """
    Give a stream's id back if it is one.

    Raises:
        BadRequest: It is not.
    """
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise BadRequest("id: 1 to 64 of the characters A–Z, a–z, 0–9, _ and -")
    return id


def _start(
    request: dict[str, Any],
    metadata: dict[str, Any],
    default: Policy,
    headers: Mapping[str, str],
    idempotency_key: str | None,
) -> Start:
    id, provider, policy = (request.pop(name, None) for name in ("id", "provider", "policy"))
    request.pop("stream", None)
    if provider is not None and not isinstance(provider, str):
        raise BadRequest("provider: must be a text")
    if request.get("model") is not None and not isinstance(request["model"], str):
        raise BadRequest("model: must be a text")
    if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_KEY_CHARACTERS:
        raise BadRequest(f"Idempotency-Key: 1 to {MAX_KEY_CHARACTERS} characters")
    try:
        msgspec.json.encode([request, metadata])
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest("The request must be JSON: objects, arrays, texts, numbers, true, false, null.") from error
    return Start(
        id=None if id is None else check_id(id),
        provider=provider,
        policy=read_policy(policy, default),
        metadata=metadata,
        request=request,
        headers=dict(headers),
        idempotency_key=idempotency_key,
    )


def _size(value: object) -> int:
    try:
        return len(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return MAX_METADATA_BYTES + 1


def _with_prompt(request: dict[str, Any]) -> dict[str, Any]:
    prompt = request.pop("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise BadRequest("prompt: must be a text")
    if "messages" in request:
        raise BadRequest("prompt: give either prompt or messages")
    return {**request, "messages": [{"role": "user", "content": prompt}]}
