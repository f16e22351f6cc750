"""Who may write: whoever has the write token, or anybody if none is set."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from control_api.errors import UNAUTHORIZED, ApiError
from control_api.reading import PartsHere

_bearer = HTTPBearer(auto_error=False, description="Needed for writes, if the API was started with `write_token`.")


async def authorize_write(
    parts: PartsHere, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Pass whoever may write.

    Raises:
        ApiError: `UNAUTHORIZED` without the right token.
    """
    token = parts.settings.write_token
    if token is None:
        return
    given = credentials.credentials if credentials is not None else ""
    if not secrets.compare_digest(given.encode(), token.get_secret_value().encode()):
        detail = "this API takes writes with `Authorization: Bearer <write token>` only"
        raise ApiError(UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
