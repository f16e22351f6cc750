"""The shape of every error."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from control_api.errors import (
    BAD_REQUEST,
    CONFLICT,
    IN_FLIGHT,
    INVALID,
    KAFKA_DOWN,
    KEY_REUSED,
    NOT_CAUGHT_UP,
    PROBLEM_JSON,
    STALE,
    TOO_LARGE,
    UNAUTHORIZED,
    Problem,
)
from control_api.schemas.shape import Shape

WRITES: Final = (
    BAD_REQUEST, UNAUTHORIZED, IN_FLIGHT, CONFLICT, STALE, TOO_LARGE, INVALID, KEY_REUSED, KAFKA_DOWN, NOT_CAUGHT_UP,
)  # fmt: skip
"""What any write may end in."""


class WrongMember(Shape):
    """One member or parameter of the request that is wrong."""

    pointer: str = Field(description="JSON pointer, such as `/body/data_type` or `/query/window`.")
    detail: str = Field(description="What was expected.")


class ProblemDetails(Shape):
    """RFC 9457."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(description="Kind of error: the path of its page.", examples=["/problems/not-found"])
    title: str = Field(description="The same for every error of the type.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened: expected and found.")
    instance: str = Field(description="Path of the request.")
    trace_id: str = Field(description="Trace id of `traceparent`, else the request id; the log has it as well.")
    retryable: bool = Field(description="The same request may succeed later.")
    errors: list[WrongMember] | None = Field(default=None, description="Where validation failed.")


def answers(*problems: Problem) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a route that may end in one of `problems`."""
    found: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        known = found.get(problem.status, {}).get("description")
        found[problem.status] = {
            "description": f"{known}; or: {problem.title}" if known else problem.title,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
    return found


def written(status: int, model: type[Shape] | None, description: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI response of a write, with the headers that writes answer with."""
    headers = {
        "X-Control-Offset": ("For `min_control_offset` of later reads.", "integer"),
        "Idempotency-Replayed": ("`true` if this answers a repeated request.", "string"),
        "X-Dry-Run": ("`true` if nothing was written.", "string"),
        "Location": ("What was made, or the operation that makes it.", "string"),
        "ETag": ("Of what was written.", "string"),
    }
    return {
        status: {
            "description": description,
            "headers": {
                name: {"description": text, "schema": {"type": kind}} for name, (text, kind) in headers.items()
            },
            **({"model": model} if model is not None else {}),
        }
    }
