"""From `If-Match` and `If-None-Match` to the revision that a command expects.

Whatever can be changed has a `revision`, the control offset of its last change, and an `ETag`, `"<revision>-<digest>"`. A write
is compared by the revision alone: the digest also covers what no writer decides on, such as which workers live. The
comparison itself is the fold's, so it holds between replicas; here the header is only read.
"""

from __future__ import annotations

import re

from control_api.errors import BAD_REQUEST, PRECONDITION_REQUIRED, STALE, ApiError
from model_store.core.commands import ABSENT

_TAG = re.compile(r'"?(\d{1,18})(?:-[0-9a-f]+)?"?')


def expected_revision(
    if_match: str | None, if_none_match: str | None, found: int | None, *, is_required: bool
) -> int | None:
    """The revision that a command is to expect; `None`: whatever it is.

    Args:
        if_match: The header.
        if_none_match: The header; in a write, only `*` makes sense.
        found: The revision as this replica knows it; `ABSENT` if there is no such thing, `None` if it has none.
        is_required: One of the headers has to be there.

    Raises:
        ApiError: `PRECONDITION_REQUIRED` without a header where one is required, `BAD_REQUEST` if one cannot be read, `STALE` if
            `If-Match: *` names what is not there.
    """
    if if_match is None and if_none_match is None:
        if is_required:
            known = "" if found is None or found == ABSENT else f'; its revision is {found}: If-Match: "{found}"'
            detail = f"this write needs If-Match (or If-None-Match: * to make a new one){known}"
            raise ApiError(PRECONDITION_REQUIRED, detail)
        return None
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise ApiError(BAD_REQUEST, "a write takes If-None-Match: * alone, and means: it must not exist yet")
        return ABSENT
    if (if_match or "").strip() == "*":
        if found == ABSENT:
            raise ApiError(STALE, "If-Match: * asks for one that is there; there is none")
        return None
    revisions = [_revision(tag) for tag in (if_match or "").split(",")]
    return found if found in revisions else revisions[0]


def _revision(tag: str) -> int:
    match = _TAG.fullmatch(tag.strip())
    if match is None:
        raise ApiError(BAD_REQUEST, f'If-Match takes an ETag of this API or "<revision>", not {tag.strip()[:80]!r}')
    return int(match.group(1))
