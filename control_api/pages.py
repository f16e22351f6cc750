"""Pages of a list: opaque tokens that are bound to the request they came from.

A token holds the sort key of the last item seen and a digest of the filters, so that pages stay in order while items are
added, and a token that is sent with other filters is refused instead of skipping items silently.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from control_api.errors import PAGE_TOKEN, ApiError

Item = TypeVar("Item")
Key = tuple[str | int | float, ...]


def page(
    items: Sequence[Item],
    key: Callable[[Item], Key],
    size: int,
    token: str | None,
    filters: Mapping[str, object],
    descending: Sequence[bool] = (),
) -> tuple[list[Item], str | None]:
    """The items after `token`, at most `size`, and the token of the next page or `None`.

    `items` are in ascending order of `key`, which is unique among them; `descending` names the parts of the key that run the
    other way (see `in_order`).

    Raises:
        ApiError: `PAGE_TOKEN` if the token is not one of ours or belongs to other filters.
    """
    digest = _digest(filters)
    if token:
        after = _comparable(_decode(token, digest), descending)
        items = [item for item in items if after < _comparable(key(item), descending)]
    shown = list(items[:size])
    more = len(items) > len(shown)
    return shown, _encode(key(shown[-1]), digest) if more and shown else None


def in_order(items: Iterable[Item], key: Callable[[Item], Key], descending: Sequence[bool] = ()) -> list[Item]:
    """The items as `page` wants them."""
    return sorted(items, key=lambda item: _comparable(key(item), descending))


def _comparable(key: Key, descending: Sequence[bool] = ()) -> tuple[tuple[int, _Part], ...]:
    flags = [*descending, *[False] * (len(key) - len(descending))]
    return tuple(
        (0 if isinstance(part, int | float) else 1, _Part(part, flag)) for part, flag in zip(key, flags, strict=False)
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a key, in its direction; compared with parts of its own type only."""

    value: str | int | float
    is_descending: bool

    def __lt__(self, other: _Part) -> bool:
        mine, others = (other.value, self.value) if self.is_descending else (self.value, other.value)
        return bool(mine < others)  # type: ignore[operator]  # the kind before it in the tuple is the same


def _digest(filters: Mapping[str, object]) -> str:
    text = json.dumps({name: str(value) for name, value in filters.items() if value is not None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _encode(after: Key, digest: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([digest, *after]).encode()).decode().rstrip("=")


def _decode(token: str, digest: str) -> Key:
    try:
        found, *after = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, TypeError) as error:
        raise ApiError(PAGE_TOKEN, "page_token is not one that this API returned") from error
    if found != digest or not all(isinstance(part, str | int | float) for part in after):
        raise ApiError(PAGE_TOKEN, "page_token was returned for a request with other filters")
    return tuple(after)
