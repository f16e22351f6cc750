"""Answers by `Idempotency-Key`, in Redis for 24 hours.

Redis is a convenience here, not the guard: the key also travels in the descriptor as its `request_id`, and the fold of
the control log refuses a second descriptor with the same one. So when Redis is down, or was not set, every request runs,
and a repeated one finds the version that the first one made.
"""

from __future__ import annotations

import hashlib
import json
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from control_api.errors import IN_FLIGHT, KEY_REUSED, ApiError
from control_api.ports import StoredAnswer

log = structlog.get_logger(__name__)

KEEP_SECONDS = 24 * 3600
CLAIM_SECONDS = 60
"""A claim outlives its request by no more than this, should the process die with it."""


class RedisReplays:
    """See `Replays`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def begin(self, key: str, fingerprint: str) -> StoredAnswer | None:
        """See `Replays.begin`."""
        claim = json.dumps({"fingerprint": fingerprint})
        try:
            if await self._redis.set(_name(key), claim, nx=True, ex=CLAIM_SECONDS):
                return None
            found = cast("bytes | None", await self._redis.get(_name(key)))
        except RedisError as error:
            log.warning("replays.unavailable", reason=str(error))
            return None
        if found is None:
            return None
        stored = json.loads(found)
        if stored["fingerprint"] != fingerprint:
            raise ApiError(KEY_REUSED, "this Idempotency-Key was used for a request with another path or body")
        if "status" not in stored:
            raise ApiError(
                IN_FLIGHT, "the first request with this Idempotency-Key is still at work", retry_after_seconds=1
            )
        return StoredAnswer(**stored)

    async def finish(self, key: str, answer: StoredAnswer) -> None:
        """See `Replays.finish`."""
        text = json.dumps(
            {
                "fingerprint": answer.fingerprint,
                "status": answer.status,
                "headers": dict(answer.headers),
                "body": answer.body,
            }
        )
        try:
            await self._redis.set(_name(key), text, ex=KEEP_SECONDS)
        except RedisError as error:
            log.warning("replays.unavailable", reason=str(error))

    async def abandon(self, key: str) -> None:
        """See `Replays.abandon`."""
        try:
            await self._redis.delete(_name(key))
        except RedisError as error:
            log.warning("replays.unavailable", reason=str(error))


class NoReplays:
    """Stands in where no Redis is set. See `Replays`."""

    async def begin(self, key: str, fingerprint: str) -> StoredAnswer | None:
        """See `Replays.begin`."""
        return None

    async def finish(self, key: str, answer: StoredAnswer) -> None:
        """See `Replays.finish`."""

    async def abandon(self, key: str) -> None:
        """See `Replays.abandon`."""


def _name(key: str) -> str:
    return "sluice:replay:" + hashlib.sha256(key.encode()).hexdigest()
