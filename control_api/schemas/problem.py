"""The shape of every error."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from control_api.errors import PROBLEM_JSON, Problem
from control_api.schemas.shape import Shape


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
