"""What all writes have in common: the revision they were decided on, a reason, and whether to write at all.

Of two who decided on the same revision one wins; the other gets a `StaleError` with how it is now. So a write is given the
`revision` of the answer that was read before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from sluice.client.calls import Call

Answer = TypeVar("Answer")

ABSENT: Final = -1
"""As a revision: it must not be there yet."""

ANY: Final = -2
"""As a revision: it must be there, whatever it is now. For emergencies."""


def condition(revision: int | None) -> dict[str, str]:
    """The header that says which revision a write was decided on; none for `None`, where the API does not need it."""
    match revision:
        case None:
            return {}
        case -1:
            return {"If-None-Match": "*"}
        case -2:
            return {"If-Match": "*"}
        case _:
            return {"If-Match": f'"{revision}"'}


def write(
    method: str,
    path: str,
    answer: type[Answer],
    body: Mapping[str, Any] | None = None,
    *,
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[Answer]:
    """A write. What is `None` in the body is left out; without a body the reason is a parameter."""
    params = {"dry_run": "true"} if dry_run else {}
    if body is None:
        params |= {"reason": reason} if reason else {}
        return Call(method, path, answer, params, headers=condition(revision))
    given = {name: value for name, value in body.items() if value is not None}
    given |= {"reason": reason} if reason else {}
    return Call(method, path, answer, params, headers=condition(revision), body=given)
