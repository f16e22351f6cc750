"""One page for each problem type, where its URI points to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from control_api.errors import NOT_FOUND, PROBLEMS, ApiError
from control_api.schemas.problem import answers
from control_api.schemas.shape import Shape

router = APIRouter(prefix="/problems", tags=["problems"])


class ProblemPage(Shape):
    """What a problem type means."""

    type: str = Field(examples=["/problems/not-caught-up"])
    title: str
    status: int = Field(description="HTTP status.")
    explanation: str = Field(description="What it means and what to do.")
    retryable: bool


@router.get("/{slug}", responses=answers(NOT_FOUND))
async def read_problem(slug: Annotated[str, Path(examples=["not-found"])]) -> ProblemPage:
    """What a problem type means and what to do about it."""
    problem = PROBLEMS.get(slug)
    if problem is None:
        raise ApiError(NOT_FOUND, f"there is no problem type {slug!r}; there are: {', '.join(PROBLEMS)}")
    return ProblemPage(
        type=f"/problems/{slug}",
        title=problem.title,
        status=problem.status,
        explanation=problem.explanation,
        retryable=problem.is_retryable,
    )
