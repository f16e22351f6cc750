"""Is the process alive, is it ready, and its metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from control_api.errors import NOT_CAUGHT_UP, ApiError
from control_api.reading import PartsHere
from control_api.schemas.problem import answers
from control_api.schemas.shape import Shape

router = APIRouter(tags=["probes"])


class Alive(Shape):
    """The process answers."""

    status: Literal["ok"]


class Ready(Shape):
    """The control log is read."""

    status: Literal["ready"]
    applied_offset: int = Field(description="Last control-log offset in the state; -1 for an empty log.")
    brokers: Literal["reachable", "unreachable", "unknown"] = Field(
        description="As of the last look. During an outage this replica stays ready: it answers from its state."
    )


class ServerMetadata(Shape):
    """Of the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


class InferenceHealth(Shape):
    """Of the Open Inference Protocol."""

    live: bool
    ready: bool


@router.get("/healthz")
async def healthz() -> Alive:
    """200 while the process runs."""
    return Alive(status="ok")


@router.get("/readyz", responses=answers(NOT_CAUGHT_UP))
async def readyz(parts: PartsHere) -> Ready:
    """200 once the control log was read to the end that it had at start; 503 before."""
    parts.check_ready()
    return Ready(status="ready", applied_offset=parts.follower.applied_offset, brokers=parts.brokers())


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}, "description": "Metrics."}},
)
async def metrics(parts: PartsHere) -> Response:
    """Prometheus metrics of this process."""
    parts.metrics.applied_offset.set(parts.follower.applied_offset)
    parts.metrics.caught_up.set(parts.follower.is_caught_up)
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/v2", tags=["open inference protocol"])
async def server_metadata(request: Request) -> ServerMetadata:
    """Server metadata of the Open Inference Protocol; inference itself goes through Kafka."""
    return ServerMetadata(name="sluice", version=request.app.version, extensions=[])


@router.get("/v2/health/live", tags=["open inference protocol"])
async def inference_live(parts: PartsHere) -> InferenceHealth:
    """200 while the process runs."""
    return InferenceHealth(live=True, ready=parts.is_ready)


@router.get("/v2/health/ready", tags=["open inference protocol"], responses=answers(NOT_CAUGHT_UP))
async def inference_ready(parts: PartsHere) -> InferenceHealth:
    """As `/readyz`.

    Raises:
        ApiError: `NOT_CAUGHT_UP`.
    """
    if not parts.is_ready:
        raise ApiError(NOT_CAUGHT_UP, "the control log is not read to its end yet", retry_after_seconds=1)
    return InferenceHealth(live=True, ready=True)
